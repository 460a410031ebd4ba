"""Default analyses: a class starts a service, once for each judgement and within limits."""

from __future__ import annotations

from typing import Any

import pytest

from iceprod.ids import now
from server.common.errors import ApiError, BadRequest
from server.desk.analyses import services
from server.desk.common.access import Visitor
from server.desk.common.acls import SYSTEM_ADMIN
from server.desk.judgement import classifications
from server.desk.judgement.classifications import Judgement
from server.desk.people import groups
from server.desk.rules import default_analyses, standing
from server.rest.context import Context
from server.rules import engine

SHOW = {"show_parameters": True, "show_plots": True, "show_corner": False}


@pytest.fixture
async def service(ctx: Context, who: Visitor) -> int:
    """A service that takes a parameter; nobody is there to run it."""
    return await services.add(ctx, {
        "name": "fit", "display_name": "fit", "description": "", "version": "1", "contact_name": "v",
        "contact_email": None, "url": "grid:lightcurve-fit",
        "optional_analysis_parameters": {"mode": ["fast"]}, "authentication_type": "none",
        "analysis_type": "lightcurve_fitting", "input_data_types": ["redshift"], "timeout": 60.0,
        "upload_only": False, "is_summary": False, "group_ids": sorted(who.groups)}, None)


@pytest.fixture
async def who(ctx: Context) -> Visitor:
    moment = now()
    await ctx.db.desk_users.insert_one({
        "_id": 1, "username": "ada", "roles": ["Super admin"], "acls": [], "claimed_roles": [],
        "claimed_groups": [], "created_at": moment, "modified": moment})
    maker = Visitor(1, "ada", frozenset({SYSTEM_ADMIN}))
    number = await groups.add_group(ctx, maker, "g", {}, [])
    await ctx.db.desk_objs.insert_one({"_id": "o"})
    await ctx.db.desk_taxonomies.insert_one({"_id": 1, "classes": ["TDE", "Blazar"], "group_ids": [number]})
    return Visitor(1, "ada", frozenset({SYSTEM_ADMIN}), frozenset({number}))


async def judge(ctx: Context, who: Visitor, name: str, probability: float | None) -> None:
    await classifications.add(ctx, who, [Judgement("o", name, 1, probability, sorted(who.groups))])


async def test_a_class_starts_it_once(ctx: Context, who: Visitor, service: int) -> None:
    chosen = {"classifications": [{"name": "TDE", "probability": 0.5}]}
    draft = await default_analyses.checked(
        ctx, who, service, parameters={"mode": "fast"}, source_filter=chosen, daily_limit=2, group_ids=None,
        show=SHOW)
    number = await standing.add(ctx, who, draft)
    for name, probability in (("TDE", 0.9), ("TDE", 0.4), ("Blazar", 1.0), ("TDE", None), ("TDE", 0.8)):
        await judge(ctx, who, name, probability)
    await engine.run(ctx)
    await engine.run(ctx)
    rows = await ctx.db.desk_analyses.find({}).to_list()
    assert [(row["obj_id"], row["analysis_parameters"], row["show_plots"]) for row in rows] \
        == [("o", {"mode": "fast"}, True)] * 2
    told = await default_analyses.shown(ctx, await default_analyses.find(ctx, who, service, number))
    assert told["stats"]["daily_limit"] == told["stats"]["daily_count"] == 2
    assert (told["source_filter"], told["show_corner"]) == (chosen, False)
    with pytest.raises(BadRequest):
        await default_analyses.find(ctx, who, service + 1, number)
    await default_analyses.remove(ctx, who, service, number)
    with pytest.raises(BadRequest):
        await default_analyses.remove(ctx, who, service, number)
    assert await standing.listed(ctx, who, {}) == []


async def test_no_such_service(ctx: Context, who: Visitor, service: int) -> None:
    assert await default_analyses.listed(ctx, who, service) == []
    with pytest.raises(BadRequest, match="no service"):
        await default_analyses.listed(ctx, who, service + 1)


async def test_they_go_with_their_service(ctx: Context, who: Visitor, service: int) -> None:
    draft = await default_analyses.checked(
        ctx, who, service, parameters={}, source_filter={"classifications": [{"name": "TDE"}]},
        daily_limit=None, group_ids=None, show=SHOW)
    await standing.add(ctx, who, draft)
    await services.remove(ctx, {"_id": service + 1})
    assert len(await standing.listed(ctx, who, {})) == 1
    await services.remove(ctx, await services.find(ctx, who, service))
    assert await standing.listed(ctx, who, {}) == []


@pytest.mark.parametrize("given", [
    None, {}, {"classifications": []}, {"classifications": ["TDE"]}, {"classifications": [{"name": ""}]},
    {"classifications": [{"name": "TDE", "probability": 2}]}, {"classifications": [{"name": "TDE", "p": 1}]},
    {"classifications": [{"name": "TDE"}], "more": 1}, {"classifications": [{"name": "TDE"}] * 51}])
async def test_bad_filters(given: Any) -> None:
    with pytest.raises(BadRequest, match="source_filter"):
        default_analyses.read_source_filter(given)


@pytest.mark.parametrize(("service_id", "parameters"), [(0, {"colour": "red"}), (99, {})])
async def test_what_the_service_does_not_take(ctx: Context, who: Visitor, service: int, service_id: int,
                                              parameters: dict[str, Any]) -> None:
    with pytest.raises(ApiError):
        await default_analyses.checked(
            ctx, who, service + service_id, parameters=parameters,
            source_filter={"classifications": [{"name": "TDE"}]}, daily_limit=None, group_ids=None, show=SHOW)
