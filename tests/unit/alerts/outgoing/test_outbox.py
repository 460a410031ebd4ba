"""The outbox of alerts after years: what pages ask of it reads no more than they show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from server.alerts.outgoing import outbox
from server.rest.context import Context
from tests.support.alerts import with_alerts


async def sent_for_years(ctx: Context) -> None:
    """Many deliveries, of which one could not be made."""
    await ctx.db.alert_outbox.insert_many([
        {"_id": f"n{number}", "target": "folder", "state": "dead" if number == 7 else "sent",
         "created": float(number), "sent": 0.0, "alert_id": f"a{number}", "notice_id": f"n{number}",
         "due": 0.0, "scope": f"n{number}", "record_number": 1, "outcome": "", "tries": 1}
        for number in range(400)])


@pytest.mark.parametrize(("query", "most"), [({}, 50), ({"state": "sent"}, 50), ({"state": "dead"}, 1)])
async def test_what_a_page_lists_is_all_that_is_read(ctx: Context, query: dict[str, Any], most: int) -> None:
    await sent_for_years(ctx)
    cursor = ctx.db.alert_outbox.find(query).sort([("created", -1)]).limit(50)  # as `listed` asks
    assert (await cursor.explain())["executionStats"]["totalDocsExamined"] == most
    assert len(await outbox.listed(ctx, query.get("state", ""), limit=50)) == most


async def test_standings_count_by_target_and_state(ctx: Context, tmp_path: Path) -> None:
    await sent_for_years(ctx)
    found, = await outbox.standings(with_alerts(ctx, tmp_path))
    assert (found["sent"], found["dead"], found["waiting"], found["sending"]) == (399, 1, 0, 0)
