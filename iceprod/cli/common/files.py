"""Reading the files that users name, with errors that say where they are broken."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import yaml

from config.json_text import JsonError, decode, without_gaps
from iceprod.cli.common.errors import USAGE, CommandError

__all__ = ["check_folder", "read_document", "read_json", "save"]


def read_json(path: Path, *, gaps: bool = False) -> dict[str, Any]:
    """The JSON object in a file; with ``gaps``, null for NaN and infinities.

    Raises CommandError, which names line and byte.
    """
    data = _read(path)
    try:
        document = decode(data, gaps=gaps)
    except JsonError as error:
        raise CommandError(f"{path}: not JSON: {error}", USAGE) from None
    return _object(path, without_gaps(document) if gaps else document)


def read_document(path: Path) -> dict[str, Any]:
    """The object in a JSON or YAML file. Raises CommandError."""
    if path.suffix.lower() not in (".yaml", ".yml"):
        return read_json(path)
    try:
        return _object(path, yaml.safe_load(_read(path)))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CommandError(f"{path}: not YAML: {' '.join(str(error).split())}", USAGE) from None


def save(path: Path, content: bytes) -> Path:
    """Write a file, making its directory. Raises CommandError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise CommandError(f"cannot write {path}: {error.strerror}", USAGE) from None
    return path


def check_folder(folder: Path, option: str = "--out") -> None:
    """Raise CommandError when files cannot be written to a folder, which is made if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"{option}: cannot make {folder}: {error.strerror}", USAGE) from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CommandError(f"{option}: cannot write into {folder.absolute()}; name another folder", USAGE)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}", USAGE) from None


def _object(path: Path, document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise CommandError(f"{path}: expected an object, got {type(document).__name__}", USAGE)
    return document
