"""The action that fills pixel indices, on a real store."""

from __future__ import annotations

import json
from typing import Any

from server.desk.people import statistics
from server.rest.context import Context
from server.sensor.actions import actions


async def test_it_leaves_its_counts(ctx: Context, monkeypatch: Any) -> None:
    monkeypatch.setattr(statistics, "FILL_PAGE", 2)
    await ctx.db.desk_objs.insert_many(
        [{"_id": name, "ra": 10.0, "dec": 5.0, "hpix29": None} for name in "abc"]
        + [{"_id": "nowhere", "ra": None, "dec": None, "hpix29": None}])
    action = await actions.find(ctx, "fill_healpix")
    assert action is not None
    assert action.run is not None
    outcome: Any = await action.run(ctx, None)  # type: ignore[arg-type]
    assert json.loads(outcome.data) == {"filled": 3, "left": 0}
    assert await ctx.db.desk_objs.count_documents({"hpix29": None}) == 1
