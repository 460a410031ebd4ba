"""Ends by host and hour: few rows, whatever runs there; failures are compared among their like."""

from __future__ import annotations

import time

from server.production.activity import host_hours
from server.production.activity.host_hours import MOST_GROUPS, REST, Groups, Key
from server.rest.context import Context


def test_a_host_has_few_groups_in_an_hour() -> None:
    groups = Groups()
    named = [groups.named("node1", f"dataset-{number}", 0) for number in range(50)]
    assert len(set(named)) == MOST_GROUPS + 1
    assert named.count(REST) == 50 - MOST_GROUPS
    assert groups.named("node1", "dataset-0", 0) == "dataset-0"
    assert groups.named("node2", "dataset-49", 0) == "dataset-49"
    assert groups.named("node1", "dataset-49", 3600) == "dataset-49"


async def test_rows_add_up_by_host_and_everywhere(ctx: Context) -> None:
    now = time.time()
    for moment in (now - 3600, now, now):
        await host_hours.add(ctx, {Key("node1", "north", "d"): (1, 4), Key("node2", "north", "d"): (9, 1)},
                             moment)
    hosts, everywhere = await host_hours.worst(ctx, 10)
    assert [host.name for host in hosts] == ["node1", "node2"]
    assert hosts[0].ends == (3, 12)
    assert sorted(hosts[0].hours.values()) == [(1, 4), (2, 8)]
    assert everywhere == {"d": (30, 15)}


async def test_what_is_older_than_a_day_is_forgotten(ctx: Context) -> None:
    await host_hours.add(ctx, {Key("node1", "north", "d"): (0, 4)}, time.time() - 26 * 3600)
    assert await host_hours.worst(ctx, 10) == ([], {})
    assert await host_hours.clean(ctx) == 2
    assert await ctx.db.host_hours.count_documents({}) == 0
