"""Programs that lie in the task's directory: checked against their checksum, made executable, found."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from grid.pilot.modules import BadConfig, Command

__all__ = ["check_programs", "placed"]

_KINDS = ("sha256", "sha512", "sha1", "md5")
_BLOCK = 1 << 20


def check_programs(config: dict[str, Any], directory: Path) -> None:
    """Compare fetched programs with the checksums that the configuration gives. Raises BadConfig."""
    for item in _programs(config):
        kind, _, wanted = str(item["checksum"]).partition("=")
        if kind not in _KINDS:
            raise BadConfig(f"{item['remote']}: checksum of kind {kind!r}, known are {', '.join(_KINDS)}")
        found = _digest(directory / item["local"], kind)
        if found != wanted.lower():
            raise BadConfig(f"{item['remote']}: its {kind} is {found}, not {wanted}")


def placed(command: Command, argv: list[str], directory: Path) -> list[str]:
    """The command line with its program where it is: in the task's directory, or as it was named."""
    argv = list(argv)
    for position in {command.program, 0} & set(range(len(argv))):
        path = directory / argv[position]
        if os.path.isabs(argv[position]) or not path.is_file():
            continue
        if directory.resolve() in path.resolve().parents:  # else, of a link that leads out, it is not ours
            path.chmod(path.stat().st_mode | 0o700)
        if position == command.program and os.sep not in argv[position]:
            argv[position] = f"./{argv[position]}"
    return argv


def _programs(config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for tray in config.get("trays") or []:
        for module in tray.get("modules") or []:
            yield from (item for item in module.get("data") or [] if item.get("checksum"))


def _digest(path: Path, kind: str) -> str:
    digest = hashlib.new(kind, usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
