"""Default analyses with an analyst that writes down what it is asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from iceprod.ids import now
from server.common.errors import BadRequest
from server.desk.common.access import Visitor
from server.desk.common.acls import SYSTEM_ADMIN
from server.desk.judgement import classifications
from server.desk.judgement.classifications import Judgement
from server.desk.people import groups
from server.desk.rules import default_analyses, standing
from server.desk.rules.default_analyses import Analyst, Wanted
from server.rest.context import Context
from server.rules import engine

SHOW = {"show_parameters": True, "show_plots": True, "show_corner": False}


class Book:
    """What was started, by key."""

    def __init__(self) -> None:
        self.started: dict[str, Wanted] = {}

    async def check(self, ctx: Context, who: Visitor, service_id: int, parameters: Mapping[str, Any]) -> None:
        if service_id != 1:
            raise BadRequest(f"no analysis service {service_id}")

    async def start(self, ctx: Context, who: Visitor, wanted: Wanted) -> int:
        self.started.setdefault(wanted.key, wanted)
        return len(self.started)


@pytest.fixture
def book() -> Iterator[Book]:
    book = Book()
    default_analyses.register(Analyst(book.check, book.start))
    yield book
    default_analyses._analysts.clear()


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


async def test_a_class_starts_it_once(ctx: Context, who: Visitor, book: Book) -> None:
    chosen = {"classifications": [{"name": "TDE", "probability": 0.5}]}
    number = await default_analyses.add(ctx, who, 1, parameters={"mode": "fast"}, source_filter=chosen,
                                        daily_limit=2, group_ids=None, show=SHOW)
    for name, probability in (("TDE", 0.9), ("TDE", 0.4), ("Blazar", 1.0), ("TDE", None), ("TDE", 0.8)):
        await judge(ctx, who, name, probability)
    await engine.run(ctx)
    await engine.run(ctx)
    assert len(book.started) == 2
    assert {(one.obj_id, one.parameters["mode"]) for one in book.started.values()} == {("o", "fast")}
    told = await default_analyses.shown(ctx, await default_analyses.find(ctx, who, 1, number))
    assert told["stats"]["daily_limit"] == told["stats"]["daily_count"] == 2
    assert (told["source_filter"], told["show_corner"]) == (chosen, False)
    with pytest.raises(BadRequest):
        await default_analyses.find(ctx, who, 2, number)
    await default_analyses.remove(ctx, who, 1, number)
    with pytest.raises(BadRequest):
        await default_analyses.remove(ctx, who, 1, number)
    assert await standing.listed(ctx, who, {}) == []


@pytest.mark.parametrize("given", [
    None, {}, {"classifications": []}, {"classifications": ["TDE"]}, {"classifications": [{"name": ""}]},
    {"classifications": [{"name": "TDE", "probability": 2}]}, {"classifications": [{"name": "TDE", "p": 1}]},
    {"classifications": [{"name": "TDE"}], "more": 1}, {"classifications": [{"name": "TDE"}] * 51}])
async def test_bad_filters(given: Any) -> None:
    with pytest.raises(BadRequest, match="source_filter"):
        default_analyses.read_source_filter(given)


async def test_without_an_analyst_there_is_no_service(ctx: Context, who: Visitor) -> None:
    with pytest.raises(BadRequest, match="no analysis service 1"):
        await default_analyses.add(
            ctx, who, 1, parameters={}, source_filter={"classifications": [{"name": "TDE"}]},
            daily_limit=None, group_ids=None, show=SHOW)
