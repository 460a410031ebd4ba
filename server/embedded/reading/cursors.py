"""Open cursors: results that are given batch by batch."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from server.embedded.documents import budget
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import MAX_DOCUMENT_BYTES
from server.embedded.reading.scan import Position
from server.embedded.storage.writes import Steps

FIRST_BATCH = 101  # documents, as MongoDB has it
IDLE_SECONDS = 600.0
_ENTRY_BYTES = 16  # of an array's entry, beside its document


class _End:
    """Marks the end of a result, which may have pauses in it."""


_END = _End()


class Cursor:
    """The rest of a result; `results` gives None for a pause."""

    def __init__(
        self,
        results: Iterator[bytes | None],
        namespace: str,
        position: Position,
        session: bytes | None = None,
        seconds: float | None = None,
    ) -> None:
        self.id = 0
        self.namespace = namespace
        self.session = session
        self.last_use = time.monotonic()
        self.immortal = False
        self.finished = False  # nothing more will come
        self._results, self._position = budget.each(results), position
        self._seconds = seconds  # of work that are left: maxTimeMS counts over all batches, without the rests
        self._held: bytes | None = None  # did not fit into the last batch

    def batch(self, most: int) -> Steps[list[bytes]]:
        """The next documents: at most so many (0: any number), and 16 MB.

        Raises CommandError(MaxTimeMSExpired).
        """
        found: list[bytes] = []
        begun = time.monotonic()
        size = 0
        if self._held is not None:
            found.append(self._held)
            size, self._held = len(self._held), None
        while not most or len(found) < most:
            raw = next(self._results, _END)
            if isinstance(raw, _End):
                self.finished = True
                break
            if raw is None:
                self._check_time(begun)
                yield None
                continue
            size += len(raw) + _ENTRY_BYTES
            if size > MAX_DOCUMENT_BYTES and found:
                self._held = raw
                break
            found.append(raw)
        self._position.stale = True  # what was read ahead will be read anew
        self.last_use = time.monotonic()
        if self._seconds is not None:
            self._seconds -= self.last_use - begun
        return found

    def _check_time(self, begun: float) -> None:
        if self._seconds is not None and time.monotonic() - begun > self._seconds:
            raise CommandError(Code.MaxTimeMSExpired, "operation exceeded time limit")


class Cursors:
    """All open cursors by their numbers."""

    def __init__(self) -> None:
        self._open: dict[int, Cursor] = {}

    def add(self, cursor: Cursor) -> int:
        """Keep a cursor; its number."""
        cursor.id = random.getrandbits(62) | 1
        self._open[cursor.id] = cursor
        return cursor.id

    def get(self, number: int, namespace: str) -> Cursor:
        """The cursor.

        Raises CommandError(CursorNotFound).
        """
        cursor = self._open.get(number)
        if cursor is None:
            raise CommandError(Code.CursorNotFound, f"cursor id {number} not found")
        if cursor.namespace != namespace:
            text = f"Requested getMore on namespace '{namespace}', but cursor belongs to {cursor.namespace}"
            raise CommandError(Code.Unauthorized, text)
        return cursor

    def remove(self, number: int) -> bool:
        """Forget a cursor; was it there?"""
        return self._open.pop(number, None) is not None

    def remove_idle(self) -> None:
        """Forget cursors that nobody has used for long."""
        limit = time.monotonic() - IDLE_SECONDS
        for cursor in list(self._open.values()):
            if cursor.last_use < limit and not cursor.immortal:
                self.remove(cursor.id)

    def __len__(self) -> int:
        return len(self._open)
