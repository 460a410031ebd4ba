"""The base of the production family's handlers: storable bodies, dataset permissions, projections."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from tornado.iostream import StreamClosedError

from server.common.errors import BadRequest
from server.common.resting import resting
from server.production.common import access, archived
from server.production.common.documents import Document
from server.production.common.fields import check_storable
from server.rest import sites
from server.rest.handler import Handler, encode

__all__ = ["ProductionHandler"]

FIRST_FLUSH_BYTES, FLUSH_BYTES = 1 << 12, 1 << 16  # the beginning of a list is sent soon
FLUSH_SECONDS = 120.0  # for a slow reader to take so much

_T = TypeVar("_T")


class ProductionHandler(Handler):
    """A handler that can ask whether its caller may read or write a dataset."""

    names_ended_tasks = False  # whether a path may name a task that its pilot has reported already

    async def prepare(self) -> None:
        await super().prepare()
        if self.caller is not None:
            await sites.check_names(self.ctx, self.caller, self.path_kwargs, ended=self.names_ended_tasks)

    def examine(self, document: Any) -> None:
        check_storable(document)

    async def readable(self, dataset_id: str) -> None:
        """Raise Forbidden unless the caller may read the dataset."""
        await access.require(self.ctx, self.user, dataset_id, "read")

    async def present(self, dataset_id: str) -> None:
        """As `readable`; and raise Gone when jobs, tasks and logs of the dataset lie in an archive."""
        await self.readable(dataset_id)
        await archived.refuse_reading(self.ctx, dataset_id)

    async def writable(self, dataset_id: str) -> None:
        """Raise Forbidden unless the caller may change the dataset, Conflict when it is archived."""
        await access.require(self.ctx, self.user, dataset_id, "write")
        await archived.refuse_change(self.ctx, dataset_id)

    def keys(self, always: str) -> set[str] | None:
        """The fields that the query's `keys` names, the entity's id among them; None: all."""
        names = self.query_list("keys")
        return {*names, always} if names else None

    def states(self, machine_states: tuple[str, ...], error: str) -> list[str]:
        """The states in the query's `status`. Raises BadRequest with `error` for an unknown one."""
        wanted = self.query_list("status")
        if any(state not in machine_states for state in wanted):
            raise BadRequest(error)
        return wanted

    def index(self, name: str) -> int | None:
        """A whole number of the query. Raises BadRequest for anything else."""
        value = self.query(name)
        if value is None:
            return None
        if not re.fullmatch(r"[+-]?\d{1,18}", value):
            raise BadRequest(f'Bad argument "{name}": must be integer')
        return int(value)

    async def send_list(self, name: str, rows: AsyncIterator[Document]) -> None:
        """Answer ``{name: [row, …]}``, written as the rows come."""
        await self._stream(f'{{"{name}":[', rows, encode, lambda: "]}")

    async def send_map(self, identifier: str, rows: AsyncIterator[Document]) -> None:
        """Answer ``{id: row, …}``, written as the rows come."""
        await self._stream("{", rows, lambda row: encode(row[identifier]) + b":" + encode(row), lambda: "}")

    async def send_groups(self, pairs: AsyncIterator[tuple[str, str]]) -> None:
        """Answer ``{group: [id, …], …}``, written as pairs come; those of a group follow one another."""
        last: str | None = None

        def part(pair: tuple[str, str]) -> bytes:
            nonlocal last
            (group, identifier), before = pair, last
            last = group
            text = encode(identifier)
            if group == before:
                return b"," + text
            return (b"" if before is None else b"],") + encode(group) + b":[" + text

        await self._stream("{", pairs, part, lambda: "]}" if last is not None else "}", between=b"")

    async def _stream(self, head: str, rows: AsyncIterator[_T], of_row: Callable[[_T], bytes],
                      tail: Callable[[], str], between: bytes = b",") -> None:
        self.set_header("Content-Type", "application/json; charset=UTF-8")
        self.write(head)
        size, most, first = 0, FIRST_FLUSH_BYTES, True
        async for row in rows:
            part = of_row(row)
            self.write(part if first else between + part)
            first, size = False, size + len(part)
            if size > most:
                await self._flush_to_slow_readers()
                size, most = 0, FLUSH_BYTES
        self.write(tail())
        await self.finish()

    async def _flush_to_slow_readers(self) -> None:
        """Send what there is; who does not take it for long is hung up on."""
        try:
            with resting():
                await asyncio.wait_for(self.flush(), FLUSH_SECONDS)
        except TimeoutError:
            self.request.connection.close()  # type: ignore[union-attr]
            raise StreamClosedError from None

    def update_fields(self) -> dict[str, Any]:
        """The body of a PATCH: fields whose names the database can take. Raises BadRequest."""
        body = self.body()
        if not body:
            raise BadRequest("Missing update data")
        for name in body:
            if not re.fullmatch(r"\w{1,100}", name) or name == "_id":
                raise BadRequest(f"bad field name: {name[:100]!r}")
        return body
