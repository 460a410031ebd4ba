"""What a command is given, and the table of all commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from server.embedded.documents import budget
from server.embedded.documents.errors import Code, CommandError, NotSupported
from server.embedded.documents.values import Document, decode, encode, is_number, now
from server.embedded.documents.wire import Reply
from server.embedded.expressions import compile_expression
from server.embedded.sessions.store import Store
from server.embedded.storage.catalog import Collection
from server.embedded.storage.views import View
from server.embedded.storage.writes import Steps

Answer = Mapping[str, Any] | Reply
Handler = Callable[["Context"], "Answer | Steps[Answer]"]


READING_SECONDS = 600.0  # of a command that reads and names no limit: nobody waits for longer
_READING = ("find", "aggregate", "count", "distinct")


@dataclass(slots=True)
class Peer:
    """A client's connection."""

    number: int
    user: str | None = None  # who has logged in
    trusted: bool = True  # need not log in
    conversation: Any = None  # an unfinished login


@dataclass(slots=True)
class Context:
    """One command with everything that it needs."""

    store: Store
    peer: Peer
    database: str
    name: str
    body: Document
    sequences: Mapping[str, list[bytes]]
    view: View
    session: bytes | None = None
    server: Mapping[str, Any] = field(default_factory=dict)

    def target(self) -> str:
        """The name of the collection that the command is for.

        Raises CommandError(InvalidNamespace).
        """
        name = self.body[self.name]
        if not isinstance(name, str) or not name:
            raise CommandError(
                Code.InvalidNamespace, f"collection name has invalid type or is empty: {name!r}"
            )
        return name

    def collection(self) -> Collection | None:
        """The collection that the command is for, if it exists."""
        return self.store.catalog.find(self.database, self.target())

    def namespace(self) -> str:
        return f"{self.database}.{self.target()}"

    def documents(self, name: str) -> list[bytes]:
        """The documents that a write command has, in its body or beside it, as bytes."""
        if name in self.sequences:
            return self.sequences[name]
        return [encode(_object(name, item)) for item in _array(name, self.body.get(name))]

    def statements(self, name: str) -> list[Mapping[str, Any]]:
        """The same, decoded."""
        if name in self.sequences:
            return [decode(raw) for raw in self.sequences[name]]
        return [_object(name, item) for item in _array(name, self.body.get(name))]

    def variables(self) -> dict[str, Any]:
        """The variables that the command's expressions can use: NOW, and those of `let`."""
        found: dict[str, Any] = {"NOW": now()}
        for name, value in (self.body.get("let") or {}).items():
            found[name] = budget.computing(compile_expression(value))({}, found)
        return found

    def integer(self, name: str, default: int = 0) -> int:
        """A number that is not negative.

        Raises CommandError(TypeMismatch, BadValue).
        """
        value = self.body.get(name)
        if value is None:
            return default
        if not is_number(value):
            raise CommandError(Code.TypeMismatch, f"Field '{name}' must be a number")
        if value < 0:
            raise CommandError(Code.BadValue, f"Field '{name}' must not be negative: {value}")
        return int(value)


def time_limit(body: Document) -> float | None:
    """Seconds that a command may take, by its maxTimeMS, or one that only reads by default; None: any."""
    milliseconds: Any = body.get("maxTimeMS")
    if not is_number(milliseconds) or milliseconds <= 0:
        return READING_SECONDS if next(iter(body), "") in _READING else None
    return float(milliseconds) / 1000


def _array(name: str, value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise CommandError(Code.FailedToParse, f"the command needs an array '{name}'")
    return value


def _object(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise CommandError(Code.TypeMismatch, f"the elements of '{name}' must be objects")
    return value


@dataclass(frozen=True, slots=True)
class Command:
    """A command: its handler, and where it may be used."""

    handler: Handler
    transactions: bool = False
    open: bool = False  # for those who have not logged in, too
    collation: bool = True  # has a field of that name, which is refused


COMMANDS: dict[str, Command] = {}


def command(*names: str, transactions: bool = False, public: bool = False) -> Callable[[Handler], Handler]:
    """Register a handler under its names."""

    def register(handler: Handler) -> Handler:
        for name in names:
            COMMANDS[name] = Command(handler, transactions, public)
        return handler

    return register


def refuse_collation(spec: Mapping[str, Any]) -> None:
    """Raise NotSupported for a collation other than the simple one."""
    collation = spec.get("collation")
    if collation and collation != {"locale": "simple"}:
        raise NotSupported("collation")
