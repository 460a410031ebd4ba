"""Which documents and unique keys open transactions hold, and what has changed while they are open."""

from __future__ import annotations

from collections.abc import Callable


class Signal:
    """Something that happens once, and that others can wait for."""

    def __init__(self) -> None:
        self.happened = False
        self._callbacks: list[Callable[[], None]] = []

    def then(self, callback: Callable[[], None]) -> None:
        """Call back when it happens."""
        self._callbacks.append(callback)

    def happen(self) -> None:
        self.happened = True
        callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


class Holder:
    """Who holds documents and keys, until `finished` happens: a transaction."""

    def __init__(self) -> None:
        self.finished = Signal()
        self.held_documents: list[tuple[int, int]] = []  # (collection, rid)
        self.held_keys: list[tuple[int, bytes]] = []  # (index, key)


class Locks:
    """Held in memory only: a transaction does not survive the server."""

    def __init__(self) -> None:
        self.documents: dict[tuple[int, int], Holder] = {}  # (collection, rid)
        self.keys: dict[tuple[int, bytes], Holder] = {}  # (index, key), in unique indexes
        self._clock = 0
        self._open = 0
        self._versions: dict[tuple[int, int], int] = {}

    def begin(self) -> int:
        """A transaction begins: the time of its snapshot."""
        self._open += 1
        return self._clock

    def end(self, transaction: Holder) -> None:
        """A transaction ends: it holds nothing any more."""
        for name in transaction.held_documents:
            del self.documents[name]
        for key in transaction.held_keys:
            del self.keys[key]
        self._open -= 1
        if not self._open:
            self._versions.clear()

    def changed(self, collection: int, rid: int) -> None:
        """A document was changed; kept only while somebody's snapshot may be older."""
        if self._open:
            self._clock += 1
            self._versions[collection, rid] = self._clock

    def changed_since(self, collection: int, rid: int, time: int) -> bool:
        return self._versions.get((collection, rid), 0) > time
