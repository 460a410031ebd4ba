"""From a judgement to a request, from a map to a plan: a crash after any write changes nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from iceprod.ids import now
from server.desk.common.access import Visitor
from server.desk.common.acls import SYSTEM_ADMIN
from server.desk.judgement import classifications
from server.desk.judgement.classifications import Judgement
from server.desk.maps import events, localizations, skymaps
from server.desk.maps.localizations import NewLocalization
from server.desk.people import groups
from server.desk.plans import efficiencies, plans
from server.desk.rules import default_plans, followups, standing
from server.rest.context import Context
from server.rules import engine
from tests.support.rules import Crash, crashing
from tests.support.standing import EXPOSURE, PLAN

WHEN = datetime(2026, 3, 1)
PAYLOAD = {**EXPOSURE, "observation_choices": ["ztfr"]}


@pytest.fixture
async def who(ctx: Context) -> Visitor:
    """A person with an allocation on an instrument that takes everything."""
    moment = now()
    await ctx.db.desk_users.insert_one({
        "_id": 1, "username": "ada", "roles": ["Super admin"], "acls": [], "claimed_roles": [],
        "claimed_groups": [], "created_at": moment, "modified": moment})
    number = await groups.add_group(ctx, Visitor(1, "ada", frozenset({SYSTEM_ADMIN})), "g", {}, [])
    await ctx.db.desk_objs.insert_one({"_id": "o", "ra": 10.0, "dec": 5.0})
    await ctx.db.desk_taxonomies.insert_one({"_id": 1, "classes": ["TDE"], "group_ids": [number]})
    await ctx.db.desk_telescopes.insert_one({"_id": 1, "lat": 33.4, "lon": -116.9, "elevation": 1700.0})
    await ctx.db.desk_instruments.insert_one({
        "_id": 1, "name": "i", "telescope_id": 1, "filters": ["ztfr"], "api_classname": "LOOPBACKAPI",
        "api_classname_obsplan": "ZTFMMAAPI"})
    await ctx.db.desk_allocations.insert_one({
        "_id": 1, "group_id": number, "instrument_id": 1, "hours_allocated": 100.0})
    return Visitor(1, "ada", frozenset({SYSTEM_ADMIN}), frozenset({number}))


async def soon(ctx: Context) -> None:
    """Leases of who is gone end now."""
    for name in ("rule_firings", "desk_followup_requests", "desk_observation_plans",
                 "desk_survey_efficiencies"):
        await ctx.db[name].update_many({}, {"$set": {"lease": now(), "tries": 0}})


async def emptied(ctx: Context, *names: str) -> None:
    for name in ("rules", "rule_events", "rule_firings", *names):
        await ctx.db[name].delete_many({})


async def judged(ctx: Context, who: Visitor) -> None:
    """A server with a judgement that comes, if it has not been stored."""
    if await ctx.db.desk_classifications.find_one({}) is None:
        await classifications.add(ctx, who, [Judgement("o", "TDE", 1, None, sorted(who.groups))])
    await engine.run(ctx)


async def test_a_judgement_makes_one_request(ctx: Context, who: Visitor) -> None:
    crashes = 0
    for writes in range(1, 100):
        await emptied(ctx, "desk_classifications", "desk_followup_requests")
        await standing.add(ctx, who, await followups.checked(
            ctx, who, 1, PAYLOAD, group_ids=[], name=None, source_filter={"classification": "TDE"},
            daily_limit=None))
        try:
            await judged(crashing(ctx, writes), who)
        except Crash:
            crashes += 1
        else:
            break
        await soon(ctx)
        await judged(ctx, who)
        assert await ctx.db.desk_followup_requests.count_documents({}) == 1, writes
        firing, judgement = await only(ctx, "rule_firings"), await only(ctx, "desk_classifications")
        assert (firing["state"], firing["row"]) == ("done", str(judgement["_id"]))
    assert crashes > 10


async def only(ctx: Context, name: str) -> dict[str, Any]:
    [row] = await ctx.db[name].find({}).to_list()
    return dict(row)


async def mapped(ctx: Context) -> None:
    """A server with a sky map that comes, plans and efficiencies that are computed."""
    await events.put(ctx, WHEN, tags=["gold"])
    tiles = skymaps.of_ellipse(150.0, 2.2, (0.3, 0.3, 0.0), None)
    await localizations.put(ctx, NewLocalization(WHEN, "m", tiles, 0.0))
    for _ in range(2):  # the plan that is made is an event itself
        await engine.run(ctx)
        await plans.make_plans(ctx)
    await engine.run(ctx)
    await efficiencies.simulate_waiting(ctx)


async def test_a_map_makes_one_plan_and_one_efficiency(ctx: Context, who: Visitor) -> None:
    crashes = 0
    for writes in range(1, 100):
        await emptied(ctx, "desk_localizations", "desk_observation_plans", "desk_survey_efficiencies")
        number = await standing.add(ctx, who, await default_plans.checked_plan(
            ctx, who, 1, PLAN, group_ids=[], name=None, filters={"gcn_tags": ["gold"]}, daily_limit=None))
        await standing.add(ctx, who, await default_plans.checked_efficiency(
            ctx, who, number, {"numberInjections": 10}, daily_limit=None))
        try:
            await mapped(crashing(ctx, writes))
        except Crash:
            crashes += 1
        else:
            break
        await soon(ctx)
        await mapped(ctx)
        plan = await only(ctx, "desk_observation_plans")
        assert (plan["status"], plan["default_plan_id"]) == ("complete", number), writes
        efficiency = await only(ctx, "desk_survey_efficiencies")
        assert (efficiency["status"], efficiency["observation_plan_id"]) == ("complete", plan["_id"]), writes
    assert crashes > 15
