"""Where the store ends: what was measured or chosen, and what warns an installation before it is left.

Beyond these the store goes on working; nobody has measured how well. See docs/decisions/embedded-store.md.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pymongo

from server.embedded.storage.storage import FILE

MOST_DOCUMENTS: Final = 1_000_000  # of a collection: what the benchmark of claims goes to
# of the file: a repair takes 67 s of processor time and 150 MB of memory a GB, so ten minutes and a good GB;
# a start takes a second at any size (`bench --files`)
MOST_BYTES: Final = 8 << 30
_NEAR = 0.8
_LEAST_FREE = 1.2  # of the file's size: a repair writes it anew


@dataclass(frozen=True, slots=True)
class Size:
    """How large a store is."""

    documents: Mapping[str, int]  # by the collection's full name
    file_bytes: int
    free_bytes: int  # of the disk

    def warnings(self) -> list[str]:
        """What is near to where the store ends, largest first."""
        large = sorted(((number, name) for name, number in self.documents.items()
                        if number > _NEAR * MOST_DOCUMENTS), reverse=True)  # fmt: skip
        measured = f"measured up to {MOST_DOCUMENTS:,}"
        found = [f"{name} has {number:,} documents; {measured}" for number, name in large]
        if self.file_bytes > _NEAR * MOST_BYTES:
            found.append(f"the file has {_gb(self.file_bytes)} GB; meant for up to {_gb(MOST_BYTES)} GB")
        if self.free_bytes < _LEAST_FREE * self.file_bytes:
            free = f"{_gb(self.free_bytes)} GB free"
            found.append(f"the disk has {free}: too little to repair a file of {_gb(self.file_bytes)} GB")
        return found


def file_size(data: Path) -> tuple[int, int]:
    """Bytes of the store's files, and bytes that the disk has free."""
    return sum(path.stat().st_size for path in data.glob(f"{FILE}*")), shutil.disk_usage(data).free


def measure(url: str, data: Path) -> Size:
    """The size of the store that answers at the URL and has its files in `data`."""
    documents = {}
    with pymongo.MongoClient[dict[str, Any]](url) as client:
        for name in client.list_database_names():
            for collection in client[name].list_collection_names():
                documents[f"{name}.{collection}"] = client[name][collection].estimated_document_count()
    return Size(documents, *file_size(data))


def _gb(number: int) -> str:
    return f"{number / 2**30:.1f}"
