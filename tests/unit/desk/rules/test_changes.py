"""Changing a rule: for what happens from now on, and nobody's change is lost."""

from __future__ import annotations

import asyncio

import pytest

from server.common.errors import BadRequest, Conflict
from server.desk.common.access import Visitor
from server.desk.common.acls import UPLOAD_DATA
from server.desk.common.errors import Unauthorized
from server.desk.rules import default_plans, standing
from server.desk.rules.standing import Draft
from server.rest.context import Context
from server.rules import rules
from server.rules.conditions import Clause
from server.rules.decisions import Rule

ADA = Visitor(1, "ada", frozenset({UPLOAD_DATA}), frozenset({7}))
BOB = Visitor(2, "bob", frozenset({UPLOAD_DATA}), frozenset({7}))
EVE = Visitor(3, "eve", frozenset(), frozenset({7}))


def draft(most: float, name: str | None = None) -> Draft:
    condition = ((Clause("area_90", most=most),),)
    return Draft(default_plans.PLAN, "localization", condition, {"allocation_id": 1}, [7], name, 5)


async def made(ctx: Context, name: str = "mine") -> Rule:
    number = await standing.add(ctx, ADA, draft(5.0, name))
    return await standing.find(ctx, ADA, default_plans.PLAN, number)


async def test_a_change_holds_from_now_on_in_the_name_of_who_made_it(ctx: Context) -> None:
    old = await made(ctx)
    await rules.change(ctx, old, is_active=False)
    old = await standing.find(ctx, BOB, default_plans.PLAN, old.number)
    await asyncio.sleep(0.002)
    await standing.replace_with(ctx, BOB, old, draft(50.0))
    new = await standing.find(ctx, BOB, default_plans.PLAN, old.number)
    assert (new.key, new.name, new.owner_id, new.is_active) == (old.key, "mine", BOB.user_id, False)
    assert new.condition[0][0].most == 50.0
    assert new.since > old.since
    assert new.extra["created_at"] == old.extra["created_at"]


async def test_two_changes_at_once(ctx: Context) -> None:
    old = await made(ctx)
    await asyncio.sleep(0.002)
    await standing.replace_with(ctx, BOB, old, draft(1.0))
    with pytest.raises(Conflict, match="meanwhile"):
        await standing.replace_with(ctx, ADA, old, draft(2.0))
    await rules.remove(ctx, old.key)
    with pytest.raises(Conflict, match="meanwhile"):
        await standing.replace_with(ctx, ADA, old, draft(3.0))
    assert await rules.find(ctx, old.key) is None, "what was removed does not come back"


async def test_what_is_refused_changes_nothing(ctx: Context) -> None:
    await made(ctx, "other")
    old = await made(ctx)
    with pytest.raises(BadRequest, match="named 'other'"):
        await standing.replace_with(ctx, ADA, old, draft(1.0, "other"))
    wrong = Draft(default_plans.PLAN, "localization", ((Clause("colour", most=1.0),),), {}, [7])
    with pytest.raises(BadRequest, match="colour"):
        await standing.replace_with(ctx, ADA, old, wrong)
    assert await standing.find(ctx, ADA, default_plans.PLAN, old.number) == old
    with pytest.raises(Unauthorized):
        await standing.changeable(ctx, EVE, old.key)
