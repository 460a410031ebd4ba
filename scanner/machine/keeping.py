"""Files of what is made once: machine code and tables, each under the digest of the sources that made it.

There are two places: the package itself (what was built ahead travels with it), and the folder of the user
(`scanner.common.compiled.own_folder`), for what was made here. A file tells in its first line what it is and
the SHA-256 of the rest. One that is torn, foreign or of other sources counts as missing.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from scanner.common.compiled import own_folder, source_digest

__all__ = ["SHIPPED", "Label", "find", "keep", "locked", "pack", "unpack"]

SHIPPED = Path(__file__).parent / "built"
"""Where a package has what was built ahead."""
_LARGEST = 16 << 20
"""Bytes of a file; more is not ours."""


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a file is, for which level of which kind of machine (both empty for tables), of which sources."""

    name: str
    level: str = ""
    triple: str = ""
    sources: str = ""
    sha256: str = ""

    @property
    def file(self) -> str:
        """How the file is called."""
        return f"{self.name}.{self.level}" if self.level else self.name


def pack(label: Label, content: bytes) -> bytes:
    """A file's bytes."""
    sha256 = hashlib.sha256(content).hexdigest()
    told = msgspec.structs.replace(label, sources=source_digest(), sha256=sha256)
    return msgspec.json.encode(told) + b"\n" + content


def unpack(wanted: Label, packed: bytes) -> bytes | None:
    """The content; None if it is not what is wanted, not of our sources, or damaged."""
    head, _, content = packed.partition(b"\n")
    try:
        told = msgspec.json.decode(head, type=Label)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    same = (told.name, told.level, told.triple) == (wanted.name, wanted.level, wanted.triple)
    whole = told.sha256 == hashlib.sha256(content).hexdigest()
    return content if same and whole and told.sources == source_digest() else None


def find(wanted: Label, *places: Path) -> bytes | None:
    """The content of the file that is kept, in one of these places or wherever it is."""
    for folder in places or (SHIPPED, own_folder()):
        if folder is not None:
            with contextlib.suppress(OSError):
                path = folder / wanted.file
                content = unpack(wanted, path.read_bytes()) if path.stat().st_size < _LARGEST else None
                if content is not None:
                    return content
    return None


def keep(packed: bytes, file: str, folder: Path | None = None) -> bool:
    """Keep a file whole or not at all; whether there is a place that took it."""
    folder = folder or own_folder()
    if folder is None:
        return False
    partial = None
    try:
        number, partial = tempfile.mkstemp(prefix=f".{file}.", dir=folder)
        with os.fdopen(number, "wb") as target:
            target.write(packed)
        os.chmod(partial, 0o644)
        os.replace(partial, folder / file)
    except OSError:  # a full disk, a folder that went away: then everybody makes it anew
        if partial is not None:
            Path(partial).unlink(missing_ok=True)
        return False
    return True


@contextlib.contextmanager
def locked(file: str) -> Iterator[None]:
    """Hold what others wait for who want to make the same file; where nothing is kept, nobody waits."""
    folder = own_folder()
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            if folder is not None:
                lock = stack.enter_context(open(folder / f".{file}.lock", "w"))
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield
