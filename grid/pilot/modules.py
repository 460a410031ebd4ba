"""The programs of a task: what its configuration's trays and modules say, as command lines."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["BadConfig", "Command", "commands", "environment", "write_configs"]

_KEPT = ("PATH", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "HOSTNAME")
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
_SECRETS = ("ICEPROD_TOKEN", "ICEPROD__")  # beginnings of names: a token, and settings, which have passwords


class BadConfig(Exception):
    """A task's configuration cannot be run; the text names tray, module and reason."""


@dataclass(frozen=True)
class Command:
    """One program to run in the task's directory."""

    name: str
    argv: list[str]
    clear: bool = True  # start from an almost empty environment
    configs: dict[str, Any] = field(default_factory=dict)  # file name → JSON document


def commands(config: dict[str, Any]) -> Iterator[Command]:
    """All programs of a task in their order, each tray as often as it says."""
    for position, tray in enumerate(_list(config, "trays", "task")):
        where = str(tray.get("name") or f"tray {position}")
        times = tray.get("iterations", 1)
        if not isinstance(times, int):
            raise BadConfig(f"{where}: iterations must be a number, not {times!r}")
        for turn in range(times):
            for number, module in enumerate(_list(tray, "modules", where)):
                yield _command(module, f"{where}/{module.get('name') or f'module {number}'}", turn)


def environment(clear: bool, directory: Path, extra: dict[str, str]) -> dict[str, str]:
    """The environment of a program; never with our own credentials."""
    if clear:
        variables = {name: os.environ[name] for name in _KEPT if name in os.environ}
    else:
        variables = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
    variables.setdefault("PATH", _DEFAULT_PATH)
    return {**variables, "HOME": str(directory), "TMPDIR": str(directory), "PWD": str(directory), **extra}


def write_configs(command: Command, directory: Path) -> None:
    """Write the module's configuration files; their names must stay inside the directory."""
    for name, document in command.configs.items():
        path = (directory / name).resolve()
        if directory.resolve() not in path.parents:
            raise BadConfig(f"{command.name}: config file {name!r} is outside of the task's directory")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        text = document if isinstance(document, str) else json.dumps(document, indent=1)
        path.write_text(text, encoding="utf8")


def _command(module: dict[str, Any], where: str, turn: int) -> Command:
    if module.get("running_class") and not module.get("src"):
        raise BadConfig(f"{where}: running_class is not supported, name a program in src")
    shell = module.get("env_shell") or ""
    argv = shlex.split(shell) if isinstance(shell, str) else [str(word) for word in shell]
    source = module.get("src") or ""
    if not isinstance(source, str):
        raise BadConfig(f"{where}: src must be text, not {type(source).__name__}")
    argv += _program(source, bool(argv)) + _arguments(module.get("args"), where)
    if not argv:
        raise BadConfig(f"{where}: neither src nor args name a program")
    configs = module.get("configs") or {}
    if not isinstance(configs, dict):
        raise BadConfig(f"{where}: configs must be an object of file name and content")
    argv = [word.replace("$(iter)", str(turn)) for word in argv]
    return Command(where, argv, bool(module.get("env_clear", True)), configs)


def _program(source: str, has_shell: bool) -> list[str]:
    if source.endswith(".py"):
        return ["python3" if has_shell else sys.executable or "python3", source]
    if source.endswith(".sh"):
        return ["/bin/sh", source]
    return [source] if source else []


def _arguments(value: Any, where: str) -> list[str]:
    if value is None:
        return []
    if isinstance(value, str):
        try:
            return shlex.split(value)
        except ValueError as error:
            raise BadConfig(f"{where}: args: {error}") from None
    if isinstance(value, dict):
        return [f"--{name}={_text(item)}" for name, item in value.items()]
    if isinstance(value, list):
        return [_text(item) for item in value]
    return [_text(value)]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _list(document: dict[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    value = document.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadConfig(f"{where}: {key} must be a list of objects")
    return value
