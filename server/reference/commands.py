"""Every command of ``iceprod`` with its arguments and options, as ``--help`` has them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import click
import msgspec
from msgspec import inspect as kinds

from iceprod.cli.common.passing import Passing
from iceprod.cli.common.shapes import LINES, SHAPES, SILENT
from iceprod.cli.main import iceprod
from server.reference.markdown import code, table

__all__ = ["commands", "missing", "spoken", "text"]

_JSON_WORDS: dict[type[Any], str] = {
    kinds.StrType: "text", kinds.IntType: "number", kinds.FloatType: "number", kinds.ListType: "list",
    kinds.BoolType: "true or false", kinds.DictType: "object", kinds.StructType: "object",
    kinds.NoneType: "null", kinds.AnyType: "anything"}

_HEAD = """# Commands

Every command has `--help`. Those that talk to a server take `--server URL --token T`, or `ICEPROD_SERVER` and
`ICEPROD_TOKEN`, or find the running `iceprod up` of this machine.

With `--json` exactly one JSON object goes to standard output; everything else that is said goes to standard
error. The tables below tell its keys. They stay as they are: later versions only add some. A list stands
under a key, never alone. When a command fails, the object is `{"error": "what is wrong", "exit_status": 2}`.

| exit status | |
|---|---|
| 0 | done |
| 1 | the work failed |
| 2 | wrong usage or bad input |
| 3 | the server cannot be reached |
| 130 | interrupted |

`iceprod completion bash` prints a script that lets the shell complete commands and options (also `zsh` and
`fish`; `iceprod completion --help` says where to put it).
"""


def spoken() -> Iterator[tuple[str, click.Command]]:
    """Those that do something themselves, by what one types after `iceprod`; of other parsers, too."""
    for name, command in commands():
        word = name.removeprefix("iceprod ")
        if isinstance(command, Passing):
            yield from ((f"{word} {inner}".strip(), command) for inner in command.subcommands() or [""])
        elif not isinstance(command, click.Group) or command.invoke_without_command:
            yield word, command


def commands(group: click.Group = iceprod, name: str = "iceprod") -> Iterator[tuple[str, click.Command]]:
    """All commands, those of groups too, by what one types."""
    context = click.Context(group)
    for word in group.list_commands(context):
        command = group.get_command(context, word)
        if command is None:
            continue
        yield f"{name} {word}", command
        if isinstance(command, click.Group):
            yield from commands(command, f"{name} {word}")


def text() -> str:
    """The page."""
    return "\n\n".join([_HEAD, *(_section(name, command) for name, command in commands())]) + "\n"


def missing() -> list[str]:
    """Commands and options without help."""
    found = []
    for name, command in commands():
        if not command.help:
            found.append(name)
        found += [f"{name} {option.opts[0]}" for option in _options(command)
                  if not (option.help or option.show_default)]
    return found


def _options(command: click.Command) -> list[click.Option]:
    return [one for one in command.params if isinstance(one, click.Option)]


def _section(name: str, command: click.Command) -> str:
    if isinstance(command, Passing):
        inner = [f"{name} {one}" for one in command.subcommands()] or [name]
        printed = [part for one in inner for part in _printed(one, say_which=len(inner) > 1)]
        manual = f"```\n{command.manual().strip()}\n```"
        return "\n\n".join([f"## {name}", str(command.help), manual, *printed])
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    parts = [f"## {name}", code(usage), _about(command)]
    rows = [(", ".join(map(code, (*one.opts, *one.secondary_opts))), _help(one, context))
            for one in _options(command)]
    return "\n\n".join([*parts, *([table(("option", ""), rows)] if rows else []), *_printed(name)])


def _printed(name: str, *, say_which: bool = False) -> Iterator[str]:
    """What it prints with `--json`."""
    word = name.removeprefix("iceprod ")
    which = code(f"{name} --json") if say_which else "`--json`"
    if why := SILENT.get(word):
        yield f"No {which}: it {why}."
    if lines := LINES.get(word):
        yield f"{which} prints one object; {lines}."
    for shape in SHAPES.get(word, ()):
        if isinstance(shape, str):
            yield f"{which} prints what {code(shape)} answers ([REST API](api.md))."
        else:
            when = f" ({shape.__doc__.rstrip('.').lower()})" if shape.__doc__ else ""
            yield table((f"{which}{when}", "", ""), list(_keys(shape)))


def _keys(shape: type[msgspec.Struct]) -> Iterator[tuple[str, str, str]]:
    for field in kinds.type_info(shape).fields:  # type: ignore[attr-defined]
        kind: Any = field.type
        about = ""
        if isinstance(kind, kinds.Metadata):
            kind, about = kind.type, str((kind.extra_json_schema or {}).get("description", ""))
        inner = kind.types if isinstance(kind, kinds.UnionType) else (kind,)
        names = dict.fromkeys(_JSON_WORDS[type(one)] for one in inner)
        about = about if field.required else f"{about} (not always)".strip()
        yield code(field.encode_name), " or ".join(names), about


def _about(command: click.Command) -> str:
    """The help, with the blocks that are not to be wrapped as such."""
    blocks = inspect.cleandoc(command.help or "").split("\n\n")
    return "\n\n".join(f"```\n{block[1:].strip()}\n```" if block.startswith("\b") else block
                       for block in blocks)


def _help(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    return record[1] if record else ""
