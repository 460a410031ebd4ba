"""Every command of ``iceprod`` with its arguments and options, as ``--help`` has them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from iceprod.cli.common.passing import Passing
from iceprod.cli.main import iceprod
from server.reference.markdown import code, table

__all__ = ["commands", "missing", "text"]

_HEAD = """# Commands

Every command has `--help`. Those that talk to a server take `--server URL --token T`, or `ICEPROD_SERVER` and
`ICEPROD_TOKEN`, or find the running `iceprod up` of this machine. With `--json` exactly one JSON object goes
to standard output; everything else that is said goes to standard error.

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
        return f"## {name}\n\n{command.help}\n\n```\n{command.manual().strip()}\n```"
    context = click.Context(command, info_name=name)
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    parts = [f"## {name}", code(usage), _about(command)]
    rows = [(", ".join(map(code, (*one.opts, *one.secondary_opts))), _help(one, context))
            for one in _options(command)]
    return "\n\n".join([*parts, *([table(("option", ""), rows)] if rows else [])])


def _about(command: click.Command) -> str:
    """The help, with the blocks that are not to be wrapped as such."""
    blocks = inspect.cleandoc(command.help or "").split("\n\n")
    return "\n\n".join(f"```\n{block[1:].strip()}\n```" if block.startswith("\b") else block
                       for block in blocks)


def _help(option: click.Option, context: click.Context) -> str:
    record = option.get_help_record(context)
    return record[1] if record else ""
