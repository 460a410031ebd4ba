"""The store without its network: storage, catalog, sessions, cursors, and the views on the documents."""

from __future__ import annotations

from pathlib import Path

from server.embedded.reading.cursors import Cursors
from server.embedded.sessions.sessions import Sessions
from server.embedded.storage.catalog import Catalog
from server.embedded.storage.locks import Locks
from server.embedded.storage.storage import Storage
from server.embedded.storage.transactions import Transaction
from server.embedded.storage.views import DirectView


class Store:
    """An open data directory.

    Raises DataDirectoryError when it is in use or damaged.
    """

    def __init__(self, directory: Path) -> None:
        self.storage = Storage(directory)
        self.catalog = Catalog(self.storage)
        self.catalog.drop_unfinished()
        self.storage.commit()
        self.locks = Locks()
        self.direct = DirectView(self.storage, self.catalog, self.locks)
        self.cursors = Cursors()
        self.sessions = Sessions(self._begin)

    def _begin(self, number: int) -> Transaction:
        return Transaction(number, self.storage, self.locks, self.direct)

    def rollback(self) -> None:
        """Forget the open group, after a failure."""
        self.storage.rollback()
        self.catalog.load()

    def close(self) -> None:
        """Stop in order: what is acknowledged is durable, what is open is rolled back."""
        self.sessions.abort_all()
        self.storage.close()
