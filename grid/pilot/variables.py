"""Variables of the environment in a task's texts: ``$environ(X)``, ``$X`` and ``${X}``.

IceProd writes a task as a shell script, so that these are replaced where the task runs. ``$environ(X)`` is
replaced in all texts of a task, and must be set. ``$X`` and ``${X}`` are replaced in command lines where they
are set, and stay as they are where not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from grid.pilot.modules import BadConfig, Command

__all__ = ["environ", "has_variables", "of_shell", "read", "words"]

_ENVIRON = re.compile(r"\$environ\(\s*(\w+)\s*\)")
_NAME = re.compile(r"\$(\w+)(?![\w(])|\$\{(\w+)\}")
_SHELLS = ("sh", "bash", "dash", "ksh", "zsh")
_OF_SHELL = ("OS_ARCH", "SROOT", "I3_BUILD", "I3_SRC")
"""What IceProd asks the environment shell of a module for."""


def environ(value: Any, variables: Callable[[], Mapping[str, str]]) -> Any:
    """`value` with each ``$environ(X)`` in its texts replaced. Raises BadConfig for one that is not set.

    What only an environment shell can tell becomes ``${X}``.
    """
    return _replaced(value, variables) if "$environ" in str(value) else value


def _replaced(value: Any, variables: Callable[[], Mapping[str, str]]) -> Any:
    if isinstance(value, str):
        return _ENVIRON.sub(lambda found: _of_environ(found, variables()), value)
    if isinstance(value, list):
        return [_replaced(item, variables) for item in value]
    if isinstance(value, dict):
        return {name: _replaced(item, variables) for name, item in value.items()}
    return value


def _of_environ(found: re.Match[str], variables: Mapping[str, str]) -> str:
    name = found[1]
    if name in variables:
        return variables[name]
    if name in _OF_SHELL:
        return f"${{{name}}}"
    raise BadConfig(f"{found[0]}: the environment here has no {name}")


def words(command: Command, variables: Mapping[str, str]) -> list[str]:
    """The command line with its variables replaced; the text of ``sh -c`` is that shell's own business."""
    argv = command.argv
    own = len(argv)
    if Path(argv[min(command.shell, own - 1)]).name in _SHELLS and "-c" in argv:
        own = argv.index("-c") + 1
    return [_filled(word, variables) for word in argv[:own]] + argv[own:]


def _filled(text: str, variables: Mapping[str, str]) -> str:
    return _NAME.sub(lambda found: variables.get(found[1] or found[2], found[0]), text)


def has_variables(command: Command) -> bool:
    """Whether there is anything to replace in the command line."""
    return any("$" in word for word in command.argv)


def of_shell(command: Command, variables: Iterable[str]) -> bool:
    """Whether the command line names variables that only its environment shell can tell."""
    named = {found[1] or found[2] for word in command.argv for found in _NAME.finditer(word)}
    return command.shell > 0 and bool((named & set(_OF_SHELL)) - set(variables))


def read(listing: str) -> dict[str, str]:
    """What ``env`` said of the variables that come from environment shells."""
    pairs = (line.partition("=") for line in listing.splitlines())
    return {name: value for name, equals, value in pairs if equals and name in _OF_SHELL}
