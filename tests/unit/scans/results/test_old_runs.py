"""What a scan asks of earlier ones when it starts: never all of them, however many there were."""

from __future__ import annotations

from typing import Any

import pytest

from server.rest.context import Context
from server.scans.pixels import runs

RUNS = 300


class Explaining:
    """A collection that notes how many documents each of its queries reads."""

    def __init__(self, collection: Any) -> None:
        self._collection, self.read = collection, 0

    async def find_one(self, query: Any, *_: Any) -> Any:
        plan = await self._collection.find(query).limit(1).explain()
        self.read += plan["executionStats"]["totalDocsExamined"]
        return await self._collection.find_one(query)

    def find(self, query: Any, fields: Any) -> Any:
        self.query = query
        return self._collection.find(query, fields)


async def store_runs(ctx: Context) -> None:
    await ctx.db.scan_runs.insert_many([
        {"scan_id": f"s{number}", "dataset_id": f"d{number}", "reco": "track", "phase": "final",
         "since": float(number), "costs": [[8, 0.5]]} for number in range(RUNS)])


@pytest.mark.parametrize(("moment", "is_there"), [(RUNS - 5.0, True), (RUNS + 5.0, False)])
async def test_whether_any_was_there_lately(ctx: Context, moment: float, is_there: bool) -> None:
    await store_runs(ctx)
    assert await runs.any_since(ctx, moment) is is_there
    watched = Explaining(ctx.db.scan_runs)
    await runs.any_since(_with(watched), moment)
    assert watched.read <= 5


async def test_what_a_reconstruction_cost_that_none_had(ctx: Context) -> None:
    await store_runs(ctx)
    assert await runs.measured_before(ctx, "track") == [(8, 0.5)]
    watched = Explaining(ctx.db.scan_runs)
    assert await runs.measured_before(_with(watched), "shower") == []
    plan = await ctx.db.scan_runs.find(watched.query).sort([("since", -1)]).limit(1).explain()
    assert plan["executionStats"]["totalDocsExamined"] == 0


def _with(collection: Explaining) -> Any:
    class Made:
        class db:
            scan_runs = collection

    return Made
