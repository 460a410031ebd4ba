"""Dumping databases to files and restoring them, in the layout of mongodump.

`OUT/<db>/<collection>.bson` has the documents one after the other, `OUT/<db>/<collection>.metadata.json` the
indexes and options as extended JSON. Works with any MongoDB server; special characters of collection names
are percent-encoded in file names. A dump reads collection by collection while others may write.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, unquote

import pymongo
from bson import json_util
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from server.embedded.documents.errors import DataDirectoryError

_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)
_INTERNAL = frozenset({"local", "config"})
_BATCH_BYTES = 8 * 1024 * 1024
_BATCH = 10_000
_NOT_OPTIONS = frozenset({"key", "v", "ns", "background", "storageEngine"})  # what concerns its old server


@dataclass(frozen=True, slots=True)
class Copied:
    """A collection that was dumped or restored."""

    database: str
    collection: str
    documents: int


def dump(url: str, out: Path, databases: list[str] | None = None) -> list[Copied]:
    """Write all (or some) databases of a server to files.

    Raises PyMongoError, OSError.
    """
    found = []
    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(url) as client:
        for name in sorted(databases or client.list_database_names()):
            if name in _INTERNAL:
                continue
            for entry in sorted(client[name].list_collections(), key=lambda entry: entry["name"]):
                if entry.get("type", "collection") == "collection" and not entry["name"].startswith(
                    "system."
                ):
                    found.append(_dump_collection(client[name], entry, out / name))
    return found


def _dump_collection(database: Any, entry: Mapping[str, Any], directory: Path) -> Copied:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    collection = database[entry["name"]]
    stem = quote(entry["name"], safe=" ,;=@+-_.")
    number = 0
    with (directory / f"{stem}.bson").open("wb") as file:
        for batch in collection.find_raw_batches({}):
            file.write(batch)
            number += count(batch)
    metadata = {
        "options": entry.get("options", {}), "indexes": list(collection.list_indexes()),
        "collectionName": entry["name"], "type": "collection",
    }  # fmt: skip
    (directory / f"{stem}.metadata.json").write_text(
        json_util.dumps(metadata, json_options=json_util.CANONICAL_JSON_OPTIONS) + "\n"
    )
    return Copied(database.name, entry["name"], number)


def count(batch: bytes) -> int:
    """How many documents stand one after the other."""
    number = at = 0
    while at < len(batch):
        at += int.from_bytes(batch[at : at + 4], "little")
        number += 1
    return number


def restore(url: str, source: Path, drop: bool = False, database: str = "") -> list[Copied]:
    """Store what `dump` (or mongodump) has written.

    drop: delete collections of the same names before; without it their documents stay, and a document
    whose _id exists is an error.
    database: where all of it goes, instead of into databases of the dump's names.

    Raises DataDirectoryError when there is no dump, or a file is damaged; PyMongoError.
    """
    files = sorted(source.glob("*/*.bson"))
    if not files:
        raise DataDirectoryError(f"no dump in {source}: there is no <db>/<collection>.bson")
    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(url) as client:
        return [_restore_collection(client[database or path.parent.name], path, drop) for path in files]


def _restore_collection(database: Any, path: Path, drop: bool) -> Copied:
    metadata = _metadata(path)
    name = metadata.get("collectionName") or unquote(path.stem)
    collection = database.get_collection(name, codec_options=_RAW)
    if drop:
        collection.drop()
    if name not in database.list_collection_names():
        database.create_collection(name)
    number = 0
    with path.open("rb") as file:
        for batch in batches(file, str(path)):
            collection.insert_many(batch)
            number += len(batch)
    for index in metadata.get("indexes", ()):
        if index["name"] != "_id_":
            options = {key: value for key, value in index.items() if key not in _NOT_OPTIONS}
            collection.create_index(list(index["key"].items()), **options)
    return Copied(database.name, name, number)


def _metadata(path: Path) -> dict[str, Any]:
    file = path.with_name(f"{path.stem}.metadata.json")
    try:
        return json_util.loads(file.read_text()) if file.exists() else {}
    except (json.JSONDecodeError, ValueError, TypeError) as error:
        raise DataDirectoryError(f"{file} is damaged: {error}") from None


def batches(file: IO[bytes], name: str, most: int = _BATCH) -> Iterator[list[RawBSONDocument]]:
    """The documents of a dump, so many at once at most.

    Raises DataDirectoryError, with the file's name, where they end amidst one.
    """
    batch: list[RawBSONDocument] = []
    size = 0
    for raw in _documents(file, name):
        batch.append(RawBSONDocument(raw))
        size += len(raw)
        if size > _BATCH_BYTES or len(batch) == most:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _documents(file: IO[bytes], name: str) -> Iterator[bytes]:
    while head := file.read(4):
        size = int.from_bytes(head, "little")
        rest = file.read(size - 4) if 5 <= size <= 2 * _BATCH_BYTES + 65_536 else b""
        if len(head) + len(rest) != size:
            raise DataDirectoryError(f"{name} is damaged at byte {file.tell()}")
        yield head + rest
