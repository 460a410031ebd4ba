"""Every setting with its kind, its default and the comment that stands beside it in the source."""

from __future__ import annotations

import ast
import inspect
import io
import json
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, get_type_hints

import msgspec

from config.settings import Part, Settings
from server.reference.markdown import code, first_line, table

__all__ = ["Setting", "missing", "settings", "text"]

_HEAD = """# Settings

A YAML file named with `--config` changes what differs from the defaults; an environment variable wins over
the file. `ICEPROD__SERVER__PORT=9000` sets `server.port`: the path in upper case, two underscores between the
parts, the value read as YAML. An unknown setting is refused with the nearest known one. All defaults in one
file: `config/default.yaml`.

Two variables are the clients': `ICEPROD_SERVER` and `ICEPROD_TOKEN`, as the options `--server` and `--token`.
The settings of a grid site have a file of their own: see [the guide to sites](../admin.md).
"""


@dataclass(frozen=True)
class Setting:
    """A setting: its path, its kind, its default as YAML shows it, and what it means."""

    path: str
    kind: str
    default: str
    meaning: str


def text() -> str:
    """The page."""
    parts = [_HEAD]
    for name, part in _sections():
        about = first_line(part.__doc__) if name else "At the top of the file."
        rows = [(code(one.path), one.kind, code(one.default), one.meaning) for one in _settings(name, part)]
        parts.append(f"## {name or 'Top'}\n\n{about}\n\n"
                     + table(("setting", "kind", "default", "meaning"), rows))
    return "\n\n".join(parts) + "\n"


def missing() -> list[str]:
    """Settings without a comment."""
    return [one.path for one in settings() if not one.meaning]


def settings() -> Iterator[Setting]:
    """All settings of all sections."""
    for name, part in _sections():
        yield from _settings(name, part)


def _sections() -> Iterator[tuple[str, type[Part]]]:
    yield "", Settings
    yield from _below("", Settings)


def _below(prefix: str, part: type[Part]) -> Iterator[tuple[str, type[Part]]]:
    for name, kind in get_type_hints(part).items():
        inner = _part_of(kind)
        if inner:
            path = prefix + name if inner is kind else f"{prefix}{name}.*"  # the values of a mapping
            yield path, inner
            yield from _below(f"{path}.", inner)


def _part_of(kind: Any) -> type[Part] | None:
    """The section that a type is, or that the values of a mapping or the items of a list are."""
    for one in (kind, *getattr(kind, "__args__", ())):
        if isinstance(one, type) and issubclass(one, Part):
            return one
    return None


def _settings(prefix: str, part: type[Part]) -> Iterator[Setting]:
    comments = _comments(part)
    for field in msgspec.structs.fields(part):
        if _part_of(field.type) is not field.type:
            yield Setting(f"{prefix}.{field.name}".lstrip("."), _kind(field.type), _default(field),
                          comments.get(field.name, ""))


def _kind(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)


def _default(field: msgspec.structs.FieldInfo) -> str:
    value = field.default
    if field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    return "" if value is msgspec.NODEFAULT else json.dumps(msgspec.to_builtins(value), ensure_ascii=False)


def _comments(part: type[Part]) -> dict[str, str]:
    """The comment of every field: on its own lines, or on those right above."""
    source = inspect.cleandoc("\n" + inspect.getsource(part))
    lines = _comment_lines(source)
    [tree] = ast.parse(source).body
    found = {}
    for node in getattr(tree, "body", ()):
        match node:
            case ast.AnnAssign(target=ast.Name(id=name)):
                inside = [lines[n] for n in range(node.lineno, (node.end_lineno or 0) + 1) if n in lines]
                found[name] = " ".join(inside or _above(lines, source.splitlines(), node.lineno))
    return found


def _above(lines: dict[int, str], source: list[str], number: int) -> list[str]:
    """The comment lines that stand alone right above a line."""
    block: list[str] = []
    while (number := number - 1) in lines and source[number - 1].lstrip().startswith("#"):
        block.insert(0, lines[number])
    return block


def _comment_lines(source: str) -> dict[int, str]:
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.start[0]: token.string.lstrip("# ").strip() for token in tokens
            if token.type == tokenize.COMMENT}
