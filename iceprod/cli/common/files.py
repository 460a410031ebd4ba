"""Reading the files that users name, with errors that say where they are broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from iceprod.cli.common.errors import USAGE, CommandError

__all__ = ["read_document", "read_json", "save"]


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises CommandError, which names line and byte."""
    data = _read(path)
    try:
        document = json.loads(data)
    except UnicodeDecodeError as error:
        raise CommandError(f"{path}: byte {error.start}: not UTF-8 text", USAGE) from None
    except json.JSONDecodeError as error:
        byte = len(error.doc[:error.pos].encode())
        raise CommandError(f"{path}: line {error.lineno}, column {error.colno} (byte {byte}): not JSON: "
                           f"{error.msg}", USAGE) from None
    except RecursionError:
        raise CommandError(f"{path}: nested too deeply", USAGE) from None
    return _object(path, document)


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


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}", USAGE) from None


def _object(path: Path, document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise CommandError(f"{path}: expected an object, got {type(document).__name__}", USAGE)
    return document
