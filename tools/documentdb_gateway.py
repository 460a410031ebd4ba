#!/usr/bin/env python3
"""Speak MongoDB's wire protocol (OP_MSG) in front of PostgreSQL with DocumentDB.

    documentdb_gateway.py --port 27117 --socket DIRECTORY_OF_THE_POSTGRESQL_SOCKET

For tests: no authentication, no TLS, no compression, 127.0.0.1 only. DocumentDB
does the work: every command is one call of a function in its SQL interface, with
BSON in and out. This program frames the messages, keeps cursors and transactions
on their PostgreSQL connections, and translates errors. It starts to listen when
PostgreSQL is ready.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import itertools
import json
import logging
import struct
import time
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

import asyncpg
import bson
from bson import Int64
from bson.codec_options import CodecOptions, DatetimeConversion

Document = dict[str, Any]

# dates of any year, not of Python's alone
DATES: CodecOptions[Any] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_MS)
API = "documentdb_api"
TRANSACTION_LIFETIME = 60.0     # seconds; as MongoDB's transactionLifetimeLimitSeconds
CURSOR_IDLE = 600.0             # seconds; as MongoDB's cursorTimeoutMillis
RETRIES = 20                    # of a statement that lost a race, as MongoDB does itself
MAX_MESSAGE = 48_000_000

# What a command carries for the server rather than for the operation
ENVELOPE = {"$db", "lsid", "$clusterTime", "$readPreference", "txnNumber", "autocommit",
            "startTransaction", "writeConcern", "readConcern", "apiVersion", "apiStrict"}

HELLO = {"ok": 1.0, "isWritablePrimary": True, "ismaster": True, "helloOk": True, "readOnly": False,
         "maxBsonObjectSize": 16 * 1024 * 1024, "maxMessageSizeBytes": MAX_MESSAGE,
         "maxWriteBatchSize": 100_000, "logicalSessionTimeoutMinutes": 30, "connectionId": 1,
         "minWireVersion": 0, "maxWireVersion": 21}
BUILD_INFO = {"ok": 1.0, "version": "7.0.0", "versionArray": [7, 0, 0, 0],
              "maxBsonObjectSize": 16 * 1024 * 1024, "modules": ["documentdb"]}

# Commands that return cursors, and the function that gives their first page
FIRST_PAGE = {"find": "find", "aggregate": "aggregate", "listcollections": "list_collections",
              "listindexes": "list_indexes"}

# Commands that can be explained, and the function whose plan is that
PLANNED = {"find": "find", "count": "count", "distinct": "distinct", "aggregate": "pipeline"}

# Commands that are one function call, with these arguments of it
CALLS = {
    "insert": (f"SELECT p_result FROM {API}.insert($1, $2, $3)", "database spec sequence"),
    "update": (f"SELECT p_result FROM {API}.update($1, $2, $3)", "database spec sequence"),
    "delete": (f"SELECT p_result FROM {API}.delete($1, $2, $3)", "database spec sequence"),
    "findandmodify": (f"SELECT p_result FROM {API}.find_and_modify($1, $2)", "database spec"),
    "count": (f"SELECT document FROM {API}.count_query($1, $2)", "database spec"),
    "distinct": (f"SELECT document FROM {API}.distinct_query($1, $2)", "database spec"),
    "createindexes": (
        "SELECT documentdb_api_internal.create_indexes_non_concurrently($1, $2, true)", "database spec"),
    "dropindexes": (f"CALL {API}.drop_indexes($1, $2, NULL)", "database spec"),
    "create": (f"SELECT {API}.create_collection($1, $2)", "database name"),
    "drop": (f"SELECT {API}.drop_collection($1, $2)", "database name"),
    "dropdatabase": (f"SELECT {API}.drop_database($1)", "database"),
    "listdatabases": (f"SELECT {API}.list_databases($1)", "spec"),
    "renamecollection": (f"SELECT {API}.rename_collection($1)", "spec"),
}


class CommandError(Exception):
    """An error to be reported to the client, with MongoDB's number."""

    def __init__(self, code: int, name: str, message: str, **extra: Any) -> None:
        super().__init__(message)
        self.reply: Document = {"ok": 0.0, "errmsg": message, "code": code, "codeName": name, **extra}


class Errors:
    """DocumentDB's SQLSTATEs, and the MongoDB errors that clients look at."""

    DUPLICATE, CONFLICT = 11000, 112
    NAMES: ClassVar = {2: "BadValue", 8: "UnknownError", 26: "NamespaceNotFound", 27: "IndexNotFound",
             50: "MaxTimeMSExpired", CONFLICT: "WriteConflict", DUPLICATE: "DuplicateKey"}
    CODES: ClassVar = {"M0001": 2, "M0008": 26, "M000B": 27, "57014": 50, "40001": CONFLICT,
             "40P01": CONFLICT, "M001C": DUPLICATE, "23505": DUPLICATE, "23P01": DUPLICATE}

    @classmethod
    def from_postgres(cls, error: asyncpg.PostgresError) -> Document:
        code = cls.CODES.get(error.sqlstate or "", 8)
        return CommandError(code, cls.NAMES[code], str(error)).reply

    @classmethod
    def fix_write_errors(cls, reply: Document) -> None:
        """Write errors carry packed SQLSTATEs (6 bits a character) as their code."""
        for error in reply.get("writeErrors", ()):
            code = error.get("code", 0)
            if code > 100_000:
                state = "".join(chr((code >> 6 * i & 63) + 48) for i in range(5))
                error["code"] = cls.CODES.get(state, 8)

    @classmethod
    def lost_race(cls, reply: Document, command: Document) -> bool:
        """Did the command do nothing but lose a race, so that it can be repeated?"""
        upsert = command.get("upsert") is True
        if not reply.get("ok"):
            return reply["code"] == cls.CONFLICT or (upsert and reply["code"] == cls.DUPLICATE)
        errors = reply.get("writeErrors", ())
        return bool(errors) and not reply.get("n") and all(e["code"] == cls.CONFLICT for e in errors)


@dataclass
class Cursor:
    """What is needed to get the next page."""

    continuation: bytes
    connection: asyncpg.Connection | None    # the one that it is bound to, if any
    owns_connection: bool                       # give that back when the cursor ends
    used: float = field(default_factory=time.monotonic)


@dataclass
class Transaction:
    """An open transaction of a session, on a connection of its own."""

    number: int
    connection: asyncpg.Connection
    transaction: Any
    client: object                              # the client connection that used it last
    started: float = field(default_factory=time.monotonic)


class Transactions:
    """The sessions' open transactions. One ends with its client, or after a minute."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.open: dict[bytes, Transaction] = {}

    @staticmethod
    def session(command: Document) -> bytes:
        return bytes(command["lsid"]["id"])

    async def enter(self, command: Document, client: object) -> asyncpg.Connection | None:
        """The connection that the command must use, if it is part of a transaction."""
        if command.get("autocommit") is not False:
            return None
        session, number = self.session(command), int(command["txnNumber"])
        if command.get("startTransaction"):
            await self.finish(session, commit=False)
            connection = await self.pool.acquire()
            transaction = connection.transaction(isolation="repeatable_read")
            await transaction.start()
            self.open[session] = Transaction(number, connection, transaction, client)
        found = self.open.get(session)
        if found is None or found.number != number:
            raise CommandError(251, "NoSuchTransaction", f"transaction {number} is not in progress",
                               errorLabels=["TransientTransactionError"])
        found.client = client
        return found.connection

    async def end(self, command: Document, client: object, commit: bool) -> Document:
        """commitTransaction and abortTransaction"""
        await self.enter(command, client)
        await self.finish(self.session(command), commit)
        return {"ok": 1.0}

    async def finish(self, session: bytes, commit: bool) -> None:
        found = self.open.pop(session, None)
        if found:
            try:
                await (found.transaction.commit() if commit else found.transaction.rollback())
            finally:
                await self.pool.release(found.connection)

    async def abort_stale(self, client: object = None) -> None:
        """Abort those of a client that has gone, and those that are too old."""
        limit = time.monotonic() - TRANSACTION_LIFETIME
        for session, found in list(self.open.items()):
            if found.client is client or found.started < limit:
                await self.finish(session, commit=False)


def nodes_of(plan: Document) -> Iterator[Document]:
    """A plan of PostgreSQL's, node by node."""
    yield plan
    for node in plan.get("Plans", ()):
        yield from nodes_of(node)


def stage_of(node: Document) -> Document | None:
    """What a node of a plan is in MongoDB's words, if it reads documents or an index.

    An index of `_id` begins with the number of the collection: bounded by that alone it is read whole.
    """
    index = node.get("Index Name")
    is_whole = index == "_id_" and "object_id" not in node.get("Index Cond", "")
    if is_whole or node["Node Type"] == "Seq Scan":
        return {"stage": "COLLSCAN"}
    return {"stage": "IXSCAN", "indexName": index} if index else None


class Commands:
    """The MongoDB commands, on top of DocumentDB's SQL interface."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self.pool = pool
        self.transactions = Transactions(pool)
        self.cursors: dict[int, Cursor] = {}

    async def run(self, command: Document, sequence: bytes | None, client: object) -> Document:
        """Run a command: its reply, whatever happens. Repeats what lost a race."""
        for attempt in itertools.count():
            try:
                reply = await self.run_once(command, sequence, client)
            except CommandError as error:
                reply = error.reply
            except asyncpg.PostgresError as error:
                reply = Errors.from_postgres(error)
                if command.get("autocommit") is False:      # PostgreSQL has given it up
                    await self.transactions.finish(self.transactions.session(command), commit=False)
                    reply["errorLabels"] = ["TransientTransactionError"]
            except Exception as error:
                logging.exception("in %s", next(iter(command)))
                reply = CommandError(1, "InternalError", f"{type(error).__name__}: {error}").reply
            if command.get("autocommit") is False or attempt == RETRIES \
                    or not Errors.lost_race(reply, command):
                return reply
            await asyncio.sleep(0.005 * attempt)
        raise AssertionError

    async def run_once(self, command: Document, sequence: bytes | None, client: object) -> Document:
        name = next(iter(command))
        operation, database = name.lower(), command.get("$db", "admin")
        spec = bson.encode({k: v for k, v in command.items() if k not in ENVELOPE})
        if operation in ("hello", "ismaster"):
            return HELLO | {"localTime": datetime.datetime.now(datetime.UTC)}
        if operation in ("ping", "endsessions", "killsessions"):
            return {"ok": 1.0}
        if operation == "buildinfo":
            return BUILD_INFO
        if operation == "explain":
            return await self.explain(command["explain"], database)
        if operation in ("committransaction", "aborttransaction"):
            return await self.transactions.end(command, client, operation == "committransaction")
        if operation == "getmore":
            return await self.get_more(command, database, spec)
        if operation == "killcursors":
            for cursor in command["cursors"]:
                await self.close_cursor(int(cursor))
            return {"ok": 1.0, "cursorsKilled": command["cursors"]}
        bound = await self.transactions.enter(command, client)
        if operation in FIRST_PAGE:
            return await self.first_page(FIRST_PAGE[operation], database, spec, bound)
        if operation in CALLS:
            sql, names = CALLS[operation]
            values = {"database": database, "spec": spec, "sequence": sequence, "name": command[name]}
            async with self.connection(bound) as connection:
                result = await connection.fetchval(sql, *(values[name] for name in names.split()))
            reply = bson.decode(result, DATES) if isinstance(result, bytes) else {}
            Errors.fix_write_errors(reply)
            if bound and any(e["code"] == Errors.CONFLICT for e in reply.get("writeErrors", ())):
                raise asyncpg.SerializationError("write conflict")      # ends the transaction
            return reply or {"ok": 1.0}
        raise CommandError(59, "CommandNotFound", f"no such command: '{name}'")

    async def explain(self, inner: Document, database: str) -> Document:
        """Which indexes a command would use. A full collection is assumed: a small one is always scanned."""
        name = next(iter(inner))
        if name not in PLANNED:
            raise CommandError(59, "CommandNotFound", f"'{name}' cannot be explained here")
        spec = bson.encode({k: v for k, v in inner.items() if k not in ENVELOPE}).hex()
        function = f"documentdb_api_catalog.bson_aggregation_{PLANNED[name]}"
        sql = (f"EXPLAIN (FORMAT JSON) SELECT document FROM {function}"
               f"({await self.quoted(database)}, 'BSONHEX{spec}'::documentdb_core.bson)")
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL enable_seqscan = off")
            plan = json.loads(await connection.fetchval(sql))[0]["Plan"]
        stages = [stage for node in nodes_of(plan) if (stage := stage_of(node))]
        return {"queryPlanner": {"namespace": f"{database}.{inner[name]}",
                                 "winningPlan": {"stage": "OR", "inputStages": stages}}, "ok": 1.0}

    async def quoted(self, text: str) -> str:
        async with self.pool.acquire() as connection:
            return str(await connection.fetchval("SELECT quote_literal($1)", text))

    def connection(self, bound: asyncpg.Connection | None) -> Any:
        return nullcontext(bound) if bound else self.pool.acquire()

    async def first_page(self, function: str, database: str, spec: bytes,
                         bound: asyncpg.Connection | None) -> Document:
        connection, keep = bound or await self.pool.acquire(), False
        try:
            row = await connection.fetchrow(
                "SELECT cursorpage, continuation, persistconnection, cursorid"
                f" FROM {API}.{function}_cursor_first_page($1, $2)", database, spec)
            reply = bson.decode(row["cursorpage"], DATES)
            if row["continuation"] is not None and row["cursorid"]:
                keep = bool(row["persistconnection"])
                self.cursors[row["cursorid"]] = Cursor(
                    row["continuation"], connection if keep or bound else None, keep and not bound)
                reply["cursor"]["id"] = Int64(row["cursorid"])
            return reply
        finally:
            if not bound and not keep:
                await self.pool.release(connection)

    async def get_more(self, command: Document, database: str, spec: bytes) -> Document:
        number = int(command["getMore"])
        cursor = self.cursors.get(number)
        if cursor is None:
            raise CommandError(43, "CursorNotFound", f"cursor id {number} not found")
        async with self.connection(cursor.connection) as connection:
            row = await connection.fetchrow(
                f"SELECT cursorpage, continuation FROM {API}.cursor_get_more($1, $2, $3)",
                database, spec, cursor.continuation)
        reply = bson.decode(row["cursorpage"], DATES)
        cursor.continuation, cursor.used = row["continuation"], time.monotonic()
        if cursor.continuation is None:
            await self.close_cursor(number)
            reply["cursor"]["id"] = Int64(0)
        return reply

    async def close_cursor(self, number: int) -> None:
        cursor = self.cursors.pop(number, None)
        if cursor and cursor.owns_connection:
            await self.pool.release(cursor.connection)

    async def tidy(self) -> None:
        """Every few seconds: end what clients have left open."""
        while True:
            await asyncio.sleep(5)
            await self.transactions.abort_stale()
            for number, cursor in list(self.cursors.items()):
                if cursor.used < time.monotonic() - CURSOR_IDLE:
                    await self.close_cursor(number)


class Wire:
    """MongoDB's message format."""

    OP_REPLY, OP_QUERY, OP_MSG = 1, 2004, 2013
    CHECKSUM, MORE_TO_COME = 1, 2
    ids = itertools.count(1)

    @classmethod
    def parse(cls, opcode: int, body: bytes) -> tuple[Document, bytes | None, bool]:
        """The command, its document sequence (as one piece), and whether to reply"""
        if opcode == cls.OP_QUERY:              # only for a driver's first hello
            start = body.index(0, 4) + 9
            size, = struct.unpack_from("<i", body, start)
            return bson.decode(body[start:start + size], DATES), None, True
        if opcode != cls.OP_MSG:
            raise ConnectionError(f"unknown opcode {opcode}")
        flags, = struct.unpack_from("<I", body)
        end = len(body) - (4 if flags & cls.CHECKSUM else 0)
        position, command, sequence = 4, {}, None
        while position < end:
            kind, (size,) = body[position], struct.unpack_from("<i", body, position + 1)
            section = body[position + 1:position + 1 + size]
            if kind == 0:
                command = bson.decode(section, DATES)
            else:                               # size, name, documents one after another
                sequence = section[section.index(0, 4) + 1:]
            position += 1 + size
        return command, sequence, not flags & cls.MORE_TO_COME

    @classmethod
    def message(cls, opcode: int, request: int, reply: Document) -> bytes:
        if opcode == cls.OP_QUERY:
            opcode, head = cls.OP_REPLY, struct.pack("<iqii", 8, 0, 0, 1)
        else:
            head = bytes(5)                     # no flags; a section of kind 0
        body = head + bson.encode(reply)
        return struct.pack("<iiii", 16 + len(body), next(cls.ids) & 0x7FFFFFFF, request, opcode) + body


async def serve_client(commands: Commands, reader: asyncio.StreamReader,
                       writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            size, request, _, opcode = struct.unpack("<iiii", await reader.readexactly(16))
            if not 16 < size <= MAX_MESSAGE + 16_384:
                return
            command, sequence, answer = Wire.parse(opcode, await reader.readexactly(size - 16))
            reply = await commands.run(command, sequence, writer)
            if answer:
                writer.write(Wire.message(opcode, request, reply))
                await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass                                    # the client has gone
    finally:
        writer.close()
        await commands.transactions.abort_stale(writer)


async def connect(socket: str) -> asyncpg.Pool:
    """Connect to PostgreSQL, which may still be starting."""
    async def set_codecs(connection: asyncpg.Connection) -> None:
        for name in ("bson", "bsonsequence"):
            await connection.set_type_codec(
                name, schema="documentdb_core", encoder=bytes, decoder=bytes, format="binary")

    for _ in range(600):
        try:
            return await asyncpg.create_pool(
                host=socket, user="postgres", database="postgres", min_size=2, max_size=80,
                init=set_codecs)
        except (OSError, asyncpg.CannotConnectNowError):
            await asyncio.sleep(0.1)
    raise SystemExit("PostgreSQL does not start")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--socket", required=True, help="directory of PostgreSQL's socket")
    options = parser.parse_args()
    commands = Commands(await connect(options.socket))
    server = await asyncio.start_server(
        lambda reader, writer: serve_client(commands, reader, writer), "127.0.0.1", options.port)
    await asyncio.gather(server.serve_forever(), commands.tidy())


if __name__ == "__main__":
    asyncio.run(main())
