"""The file of an archived dataset: a zip file, which any tool can unpack.

    archive.json          format, dataset, and of each collection how many documents and their SHA-256
    <collection>.bson     documents one after the other, as mongodump and bsondump know them

A file gets its name when it is whole and on the disk. It is for its owner alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import msgspec
from bson.raw_bson import RawBSONDocument

from iceprod.ids import timestamp
from server.embedded.documents.errors import DataDirectoryError
from server.embedded.dumping import batches, count

__all__ = ["FORMAT", "SUFFIX", "ArchiveError", "Contents", "Part", "Writer", "documents", "read", "verified",
           "writing"]

FORMAT = 1
SUFFIX = ".iceprod.zip"
_NOTE = "archive.json"
_CHUNK = 1 << 20


class ArchiveError(Exception):
    """A dataset cannot be archived or restored; the text says why, and what to do."""


class Part(msgspec.Struct, frozen=True):
    """What a file holds of one collection."""

    documents: int
    sha256: str


class Contents(msgspec.Struct, frozen=True):
    """What `archive.json` says."""

    format: int
    dataset_id: str
    dataset: int
    made: str
    parts: dict[str, Part]


class Writer:
    """Writes the collections of a file, one after the other."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive, self._parts = archive, dict[str, Part]()

    def add(self, collection: str, found: Iterable[bytes]) -> None:
        """Write a collection's documents, which come as BSON, any number at once."""
        number, digest = 0, hashlib.sha256()
        with self._archive.open(f"{collection}.bson", "w", force_zip64=True) as member:
            for batch in found:
                member.write(batch)
                digest.update(batch)
                number += count(batch)
        self._parts[collection] = Part(number, digest.hexdigest())

    def close(self, dataset_id: str, dataset: int) -> Contents:
        """Write what is in the file."""
        told = Contents(FORMAT, dataset_id, dataset, timestamp(), self._parts)
        self._archive.writestr(_NOTE, msgspec.json.format(msgspec.json.encode(told)))
        return told


@contextlib.contextmanager
def writing(path: Path) -> Iterator[Writer]:
    """Write a file, which has its name when the block has ended and all of it is on the disk.

    When the block raises, or the disk is full, nothing is left. Raises OSError.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with _private(partial) as file:
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                yield Writer(archive)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        _sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def _private(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read(path: Path) -> Contents:
    """What a file says it holds. Raises ArchiveError for one that is none of ours, OSError."""
    try:
        with zipfile.ZipFile(path) as archive:
            told = msgspec.json.decode(archive.read(_NOTE), type=Contents)
    except (zipfile.BadZipFile, KeyError, msgspec.MsgspecError, zlib.error) as error:
        raise ArchiveError(f"{path} is no archive of a dataset, or damaged: {error}") from None
    if told.format != FORMAT:
        raise ArchiveError(f"{path} has format {told.format}, this program knows {FORMAT}: restore it with "
                           "the newer program that wrote it")
    return told


def verified(path: Path) -> Contents:
    """As `read`, after every byte was compared with its checksum."""
    told = read(path)
    try:
        with zipfile.ZipFile(path) as archive:
            for name, part in told.parts.items():
                with archive.open(f"{name}.bson") as member:
                    if _digest(member) != part.sha256:
                        raise ArchiveError(f"{path} is damaged: the checksum of {name} is wrong")
    except (zipfile.BadZipFile, KeyError, EOFError, zlib.error) as error:
        raise ArchiveError(f"{path} is damaged: {error}") from None
    return told


def _digest(member: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while chunk := member.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def documents(path: Path, collection: str, most: int) -> Iterator[list[RawBSONDocument]]:
    """A collection's documents, so many at once at most. Raises ArchiveError, OSError."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{collection}.bson") as member:
            yield from batches(io.BufferedReader(member), str(path), most)  # type: ignore[type-var]
    except (zipfile.BadZipFile, KeyError, EOFError, zlib.error, DataDirectoryError) as error:
        raise ArchiveError(f"{path} is damaged: {error}") from None
