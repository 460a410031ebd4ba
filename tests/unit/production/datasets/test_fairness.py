"""Three users with uneven load share the pilots: nobody waits for somebody else's mountain of work."""

from __future__ import annotations

from collections import Counter

from server.production.datasets import configs, priorities
from server.production.leases import ends, leases
from server.production.leases.leases import Claim
from server.production.submission import materialisation
from server.rest.context import Context
from tests.unit.production.conftest import Maker

CONFIG = {"tasks": [{"name": "a"}]}
SLOTS = 20


async def submitted(ctx: Context, make: Maker, username: str, jobs: int, **fields: object) -> str:
    dataset = await make.dataset(jobs=jobs, username=username, **fields)
    await configs.put(ctx, dataset, CONFIG)
    await materialisation.materialise(ctx, dataset)
    return dataset


async def rounds(ctx: Context, owners: dict[str, str], times: int) -> list[Counter[str]]:
    """Let pilots take and end tasks in so many rounds; how many tasks of each user in each."""
    seen = []
    for number in range(times):
        if number % 5 == 0:
            await priorities.update_all(ctx)
        tasks = await leases.claim(ctx, Claim({}, num=SLOTS))
        for task in tasks:
            await ends.complete(ctx, task["task_id"], task["instance_id"])
        seen.append(Counter(owners[task["dataset_id"]] for task in tasks))
    return seen


async def test_nobody_waits_for_a_mountain_of_work(ctx: Context, make: Maker) -> None:
    owners = {await submitted(ctx, make, "heavy", 600): "heavy"}
    owners |= {await submitted(ctx, make, "medium", 60): "medium" for _ in range(2)}
    before = await rounds(ctx, owners, 5)
    owners |= {await submitted(ctx, make, "light", 40): "light"}
    after = await rounds(ctx, owners, 12)
    # who comes late with little work is done at once, though hundreds of tasks were there before
    assert sum((seen["light"] for seen in after[:4]), 0) == 40
    # the smaller of the others comes first, and the greater goes on meanwhile
    together = [seen for seen in (*before, *after) if seen["medium"] and seen["heavy"]]
    assert len(together) >= 4
    medium, heavy = (sum(seen[name] for seen in (*before, *after)) for name in ("medium", "heavy"))
    assert (medium, heavy) == (120, 17 * SLOTS - 120 - 40)
    # and no slot is empty while there is work
    assert {sum(seen.values()) for seen in (*before, *after)} == {SLOTS}


async def test_of_equal_users_none_comes_first(ctx: Context, make: Maker) -> None:
    owners = {await submitted(ctx, make, name, 80): name for name in ("ada", "bob", "eve")}
    seen = sum(await rounds(ctx, owners, 6), Counter())
    assert min(seen.values()) >= 30  # of 40 that would be just


async def test_a_user_says_what_comes_first(ctx: Context, make: Maker) -> None:
    owners = {await submitted(ctx, make, "ada", 80, priority=0.2): "later",
              await submitted(ctx, make, "ada", 80, priority=0.9): "sooner"}
    seen = sum(await rounds(ctx, owners, 4), Counter())
    assert seen["sooner"] > 1.5 * seen["later"]
