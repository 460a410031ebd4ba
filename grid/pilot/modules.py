"""The programs of a task: what its configuration's trays and modules say, as command lines.

The rules are those of IceProd's own runner (``core/exe.py``, versions 2 and 3):

- ``src`` goes before ``running_class``. A program ``x.py`` is run by ``python``, ``x.sh`` by ``/bin/sh``,
  any other as it is: from the task's directory when it lies there, else from the PATH.
- ``running_class: package.module.Class`` is imported, made, given each argument with ``SetParameter``, and
  run with ``Execute({})``.
- ``env_shell`` stands before all that, split at blanks.
- ``args`` as text are words; as a list, a word each; as an object, ``--name=value``, or ``-n=value`` for
  names of one letter, without ``=value`` when that is null. ``{"args": […], "kwargs": {…}}`` is both. A text
  that is JSON is read as such. Values are written as Python writes them: ``True``, ``[1, 2]``. A word stays
  one word, whatever is in it.
- ``env_clear`` leaves of the pilot's environment what `_KEPT` names.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["BadConfig", "Command", "commands", "environment", "write_files"]

_KEPT = (
    "PATH", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "HOSTNAME",
    # as IceProd 3 keeps them
    "OPENCL_VENDOR_PATH", "http_proxy", "TMP", "_CONDOR_SCRATCH_DIR", "CUDA_VISIBLE_DEVICES", "COMPUTE",
    "GPU_DEVICE_ORDINAL",
    # without these, a site with a proxy is cut off from half of the world
    "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_SET = {"PYTHONNOUSERSITE": "1", "SHELL": "/bin/sh"}  # as IceProd does
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
_SECRETS = ("ICEPROD_TOKEN", "ICEPROD__", "OTEL_EXPORTER_OTLP_")
"""Beginnings of names: a token, settings, which have passwords, and where our spans go, by which password."""

_CLASS = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)\.([A-Za-z_]\w*)")
_RUN_CLASS = """\
import json
import os
from {module} import {name}

worker = {name}()
for name, value in json.loads(os.path.expandvars({arguments!r})).items():
    worker.SetParameter(name, value)
worker.Execute({{}})
"""


class BadConfig(Exception):
    """A task's configuration cannot be run; the text names tray, module and reason."""


@dataclass(frozen=True)
class Command:
    """One program to run in the task's directory."""

    name: str
    argv: list[str]
    clear: bool = True  # start from an almost empty environment
    files: dict[str, Any] = field(default_factory=dict)  # to write before: file name → text, or JSON document
    program: int = -1  # which word is the program that `src` names
    shell: int = 0  # how many words of `env_shell` stand before


def commands(config: dict[str, Any]) -> Iterator[Command]:
    """All programs of a task in their order, each tray as often as it says. Raises BadConfig."""
    contained = bool(config.get("container"))
    count = 0
    for position, tray in enumerate(_list(config, "trays", "task")):
        where = str(tray.get("name") or f"tray {position}")
        times = tray.get("iterations", 1)
        if isinstance(times, bool) or not isinstance(times, int) or times < 0:
            raise BadConfig(f"{where}: iterations must be a number, not {times!r}")
        for turn in range(times):
            for number, module in enumerate(_list(tray, "modules", where)):
                place = f"{where}/{module.get('name') or f'module {number}'}"
                yield _command(module, place, int(tray.get("iter", turn)), count, contained)
                count += 1


def environment(clear: bool, directory: Path, extra: dict[str, str]) -> dict[str, str]:
    """The environment of a program; never with our own credentials."""
    if clear:
        kept = ((name, os.environ.get(name)) for name in _KEPT)
        variables = {**{name: value for name, value in kept if value is not None}, **_SET}
    else:
        variables = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
    variables.setdefault("PATH", _DEFAULT_PATH)
    return {**variables, "HOME": str(directory), "TMPDIR": str(directory), "PWD": str(directory), **extra}


def write_files(command: Command, directory: Path) -> None:
    """Write the module's files; their names must stay inside the directory."""
    for name, document in command.files.items():
        path = (directory / name).resolve()
        if directory.resolve() not in path.parents:
            raise BadConfig(f"{command.name}: config file {name!r} is outside of the task's directory")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        text = document if isinstance(document, str) else json.dumps(document, indent=1)
        path.write_text(text, encoding="utf8")


def _command(module: dict[str, Any], where: str, turn: int, number: int, contained: bool) -> Command:
    shell = module.get("env_shell") or ""
    before = shell.split() if isinstance(shell, str) else [str(word) for word in shell]
    source, name = module.get("src") or "", module.get("running_class") or ""
    for key, value in (("src", source), ("running_class", name)):
        if not isinstance(value, str):
            raise BadConfig(f"{where}: {key} must be text, not {type(value).__name__}")
    configs = module.get("configs") or {}
    if not isinstance(configs, dict):
        raise BadConfig(f"{where}: configs must be an object of file name and content")
    files = dict(configs)
    elsewhere = bool(before) or contained
    if name and not source:
        runner = f".class_{number}.py"
        files[runner] = _class_runner(name, module.get("args"), where)
        words = [_python(elsewhere), runner]
    else:
        words = [*_program(source, elsewhere), *_arguments(module.get("args"), where)]
    if not before + words:
        raise BadConfig(f"{where}: neither src nor running_class name a program")
    argv = [word.replace("$(iter)", str(turn)) for word in [*before, *words]]
    program = len(before) if source and words[0] == source else -1
    return Command(where, argv, bool(module.get("env_clear", True)), files, program, len(before))


def _python(elsewhere: bool) -> str:
    """As IceProd calls it; where nothing is called so, the one that runs us."""
    return "python" if elsewhere or shutil.which("python") else sys.executable or "python3"


def _program(source: str, elsewhere: bool) -> list[str]:
    if source.endswith(".py"):
        return [_python(elsewhere), source]
    if source.endswith(".sh"):
        return ["/bin/sh", source]
    return [source] if source else []


def _class_runner(name: str, args: Any, where: str) -> str:
    """The text of a program, for Python 2 and 3, that runs a class of IceCube's software."""
    found = _CLASS.fullmatch(name)
    if found is None:
        raise BadConfig(f"{where}: running_class must be package.module.Class, not {name!r}")
    if isinstance(args, dict) and set(args) == {"args", "kwargs"} and not args["args"]:
        args = args["kwargs"]
    if args is not None and args not in ("", []) and not isinstance(args, dict):
        raise BadConfig(f"{where}: the args of a running_class must be an object of names and values")
    return _RUN_CLASS.format(module=found[1], name=found[2], arguments=json.dumps(args or {}))


def _arguments(value: Any, where: str) -> list[str]:
    if isinstance(value, str):
        value = _read(value, where)
    if value is None:
        return []
    if isinstance(value, dict):
        if set(value) == {"args", "kwargs"} and isinstance(value["kwargs"], dict):
            return [*_arguments(value["args"], where), *_options(value["kwargs"])]
        return _options(value)
    if isinstance(value, list):
        return [_text(item) for item in value]
    return [_text(value)]


def _read(text: str, where: str) -> Any:
    """A text that is JSON as that, any other as words."""
    if text[:1] in ("{", "["):
        try:
            return json.loads(text)
        except ValueError:
            pass
    try:
        return shlex.split(text)
    except ValueError as error:
        raise BadConfig(f"{where}: args: {error}") from None


def _options(values: dict[str, Any]) -> list[str]:
    return [("-" if len(name) <= 1 else "--") + (name if value is None else f"{name}={_text(value)}")
            for name, value in values.items()]


def _text(value: Any) -> str:
    return str(value)


def _list(document: dict[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    value = document.get(key) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise BadConfig(f"{where}: {key} must be a list of objects")
    return value
