"""Changing one document: its bytes, its index entries, its unique keys, and who holds them."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import TypeVar

from bson import ObjectId

from server.embedded.documents import budget
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import MAX_DOCUMENT_BYTES, Document, decode, encode
from server.embedded.indexes.index import ArrayKeys, Index
from server.embedded.query import query
from server.embedded.query.update import Update
from server.embedded.storage.catalog import Catalog, Collection
from server.embedded.storage.locks import Holder, Signal
from server.embedded.storage.views import Entries, Keys, View

T = TypeVar("T")
# a command runs in slices: it yields None where others may run, and signals that it waits for
Steps = Generator[Signal | None, None, T]

_SPARE_BYTES = 16 * 1024  # a stored document may be a little larger, as in MongoDB


class Writer:
    """Changes documents of one collection through a view."""

    def __init__(self, view: View, catalog: Catalog, collection: Collection) -> None:
        self.view, self.catalog, self.collection = view, catalog, collection

    def insert(self, raw: bytes) -> Steps[Document]:
        """Store a new document, to which an _id is given if it has none.

        Raises CommandError, e.g. DuplicateKey; then nothing has changed.
        """
        document = decode(raw)
        raw = _id_first(raw, document)
        if len(raw) > MAX_DOCUMENT_BYTES + _SPARE_BYTES:
            text = f"object to insert too large. size in bytes: {len(raw)}, max size: {MAX_DOCUMENT_BYTES}"
            raise CommandError(Code.BSONObjectTooLarge, text)
        document = document if "_id" in document else decode(raw)
        added = self._keys(self.collection.indexes.values(), document)
        while holder := self.view.key_holder(added):
            yield holder.finished
        self.view.check_unique(self.collection, 0, document, added)
        self.view.put(self.collection, self.collection.new_rid(), raw, [], added)
        return document

    def insert_together(self, raws: Sequence[bytes]) -> bool:
        """Store new documents, all or none, which is so when one is not like most, or has an error."""
        try:
            documents = [decode(raw) for raw in raws]
            if not all(_is_plain(raw, document) for raw, document in zip(raws, documents, strict=True)):
                return False
            first = self.collection.next_rid
            entries = [(index, self._entries(index, documents, first))
                       for index in self.collection.indexes.values()]
        except CommandError:
            return False
        if not self.view.put_new(self.collection, list(enumerate(raws, first)), entries):
            return False
        self.collection.next_rid += len(raws)
        return True

    def _entries(self, index: Index, documents: Sequence[Document], first: int) -> Entries:
        """The entries of new documents in an index, in their order; `first` is the number of the first."""
        found: Entries = []
        for rid, document in enumerate(documents, first):
            keys = index.keys(document)
            if type(keys) is ArrayKeys and not index.multikey:
                self.catalog.set_multikey(index)
            found += [(key, rid) for key in keys]
        found.sort()
        return found

    def replace(self, rid: int, raw: bytes, document: Document, change: Change) -> Holder | bytes:
        """Apply an update to a document: its new bytes (the same if nothing changes), or whom to wait for.

        Raises CommandError, e.g. DuplicateKey; then nothing has changed.
        """
        holder = self.view.holder(self.collection, rid)
        if holder is not None:
            return holder
        before = self._keys(change.affected, document)
        new = budget.computing(change.update.apply)(document, change.tree)
        new_raw = encode(new)
        if new_raw == raw:
            return raw
        _check_size(new_raw)
        after = self._keys(change.affected, new)
        added = [entry for entry in after if entry not in before]
        removed = [entry for entry in before if entry not in after]
        if added:
            holder = self.view.key_holder(added)
            if holder is not None:
                return holder
            self.view.check_unique(self.collection, rid, new, added)
        self.view.put(self.collection, rid, new_raw, removed, added)
        return new_raw

    def delete(self, rid: int, raw: bytes) -> Holder | None:
        """Delete a document, or say whom to wait for."""
        holder = self.view.holder(self.collection, rid)
        if holder is None:
            removed = self._keys(self.collection.indexes.values(), decode(raw))
            self.view.put(self.collection, rid, None, removed, [])
        return holder

    def _keys(self, indexes: Iterable[Index], document: Document) -> Keys:
        found: Keys = []
        for index in indexes:
            keys = index.keys(document)
            if type(keys) is ArrayKeys and not index.multikey:
                self.catalog.set_multikey(index)
            found += [(index, key) for key in keys]
        return found


class Change:
    """An update for a collection: what it does, and which indexes it can concern."""

    def __init__(self, update: Update, tree: query.Every, collection: Collection) -> None:
        self.update, self.tree, self._collection = update, tree, collection

    @property
    def affected(self) -> list[Index]:
        """The indexes there are now (one may be made while a command runs)."""
        return self._collection.affected_by(self.update.paths)


def _is_plain(raw: bytes, document: Document) -> bool:
    """Whether a document can be stored as it is."""
    has_id = raw[5:9] == b"_id\x00" and not isinstance(document["_id"], list)
    return has_id and len(raw) <= MAX_DOCUMENT_BYTES + _SPARE_BYTES


def _check_size(raw: bytes) -> None:
    if len(raw) > MAX_DOCUMENT_BYTES:
        text = f"Resulting document after update is larger than {MAX_DOCUMENT_BYTES}"
        raise CommandError(Code.Location17419, text)


def _id_first(raw: bytes, document: Document) -> bytes:
    """The bytes with an _id, as the first field."""
    if raw[5:9] == b"_id\x00":
        _check_id(document["_id"])
        return raw
    identity = document.get("_id", None) if "_id" in document else ObjectId()
    _check_id(identity)
    rest = {name: value for name, value in document.items() if name != "_id"}
    return encode({"_id": identity, **rest})


def _check_id(value: object) -> None:
    if isinstance(value, list):
        raise CommandError(Code.BadValue, "The '_id' value cannot be of type array")
