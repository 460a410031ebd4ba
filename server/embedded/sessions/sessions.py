"""Clients' sessions, and the transaction that each may have open."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from server.embedded.documents.errors import Code, CommandError
from server.embedded.storage.transactions import Transaction, no_such_transaction

IDLE_SECONDS = 1800.0


@dataclass(eq=False)
class Session:
    """A logical session: `number` is that of its latest transaction."""

    last_use: float
    number: int = -1
    transaction: Transaction | None = None
    committed: bool = False
    connection: int = 0


class Sessions:
    """All sessions by their ids (of lsid)."""

    def __init__(self, begin: Callable[[int], Transaction]) -> None:
        self._begin = begin
        self._sessions: dict[bytes, Session] = {}

    def get(self, identity: bytes) -> Session:
        """The session, which begins with its first use."""
        session = self._sessions.get(identity)
        if session is None:
            session = self._sessions[identity] = Session(time.monotonic())
        session.last_use = time.monotonic()
        return session

    def start_transaction(self, session: Session, number: int, connection: int) -> Transaction:
        """Begin the transaction `number`; one that is open is aborted.

        Raises CommandError when the number is not a new one.
        """
        if number < session.number or (number == session.number and session.transaction is not None):
            text = f"Cannot start transaction {number} on this session: {session.number} is the latest one"
            raise CommandError(
                Code.TransactionTooOld if number < session.number else Code.ConflictingOperationInProgress,
                text,
            )
        self.abort(session)
        session.number, session.committed, session.connection = number, False, connection
        session.transaction = self._begin(number)
        return session.transaction

    def current(self, session: Session, number: int) -> Transaction:
        """The open transaction.

        Raises CommandError(NoSuchTransaction).
        """
        if number != session.number or session.transaction is None:
            raise no_such_transaction(number)
        return session.transaction

    def commit(self, session: Session, number: int) -> None:
        """Commit; once more is no error, for a client that lost the answer."""
        if number == session.number and session.committed:
            return
        transaction = self.current(session, number)
        session.transaction = None
        transaction.commit()
        session.committed = True

    def abort(self, session: Session) -> None:
        """Abort the open transaction, if there is one."""
        if session.transaction is not None:
            session.transaction.abort()
            session.transaction = None

    def end(self, identity: bytes) -> None:
        """The client needs the session no more."""
        session = self._sessions.pop(identity, None)
        if session is not None:
            self.abort(session)

    def abort_of_connection(self, connection: int) -> None:
        """A client is gone: so are the transactions that it began on this connection."""
        for session in self._sessions.values():
            if session.connection == connection:
                self.abort(session)

    def abort_all(self) -> None:
        for session in self._sessions.values():
            self.abort(session)

    def remove_idle(self) -> None:
        """Abort transactions that last too long, and forget sessions that nobody uses."""
        now = time.monotonic()
        for identity, session in list(self._sessions.items()):
            if session.transaction is not None and session.transaction.deadline < now:
                self.abort(session)
            if session.transaction is None and session.last_use < now - IDLE_SECONDS:
                del self._sessions[identity]
