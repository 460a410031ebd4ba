"""The one rule of access: what `visible` finds in a real store is what a slow reading of the table says."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.common.errors import BadRequest
from server.desk.common.access import Visitor, in_groups, may, own_groups, seen_groups, visible
from server.desk.common.acls import ACLS, SYSTEM_ADMIN
from server.rest.context import Context

BY_GROUP = ["candidate", "source", "label", "allocation", "observing_run"]
BY_GROUPS = ["annotation", "comment", "classification", "taxonomy", "photometry", "spectrum", "catalog_query"]
OPEN = ["obj", "telescope", "instrument", "galaxy", "gcn_event", "localization", "user"]
NUMBERS = range(1, 6)

some = st.frozensets(st.sampled_from(NUMBERS))
visitors = st.builds(Visitor, user_id=st.integers(1, 3), username=st.just("v"), groups=some, streams=some,
                     admin_of=some, acls=st.frozensets(st.sampled_from(sorted(ACLS - {SYSTEM_ADMIN}))))


def reference(kind: str, who: Visitor, row: dict[str, Any]) -> bool:
    """Whether the visitor sees the row, read off the table of the API's description."""
    if kind in OPEN:
        return True
    if kind == "filter":
        return row["group_id"] in who.groups and row["stream_id"] in who.streams
    if kind in BY_GROUP:
        return row["group_id"] in who.groups
    if kind in BY_GROUPS:
        return any(group in who.groups for group in row["group_ids"])
    if kind in ("group", "stream"):
        return row["_id"] in (who.groups if kind == "group" else who.streams)
    return bool(row["user_id"] == who.user_id)


@pytest.mark.parametrize("kind", [
    *BY_GROUP, *BY_GROUPS, *OPEN, "filter", "group", "stream", "listing", "token"])
async def test_visible_agrees_with_the_reference(ctx: Context, kind: str) -> None:
    chance = random.Random(kind)
    rows = [{"_id": number, "group_id": chance.choice(NUMBERS), "stream_id": chance.choice(NUMBERS),
             "group_ids": chance.sample(NUMBERS, chance.randrange(4)), "user_id": chance.randrange(1, 4)}
            for number in range(1, 101)]
    await ctx.db.rows.insert_many(rows)
    for _ in range(20):
        groups, streams = (frozenset(chance.sample(NUMBERS, chance.randrange(4))) for _ in range(2))
        who = Visitor(chance.randrange(1, 4), "v", groups=groups, streams=streams)
        found = await ctx.db.rows.find(visible(kind, who), {"_id": 1}, sort=[("_id", 1)]).to_list()
        assert [row["_id"] for row in found] == [row["_id"] for row in rows if reference(kind, who, row)]
        assert await ctx.db.rows.count_documents(visible(kind, who)) == len(found)


@given(visitors, st.sampled_from([*BY_GROUP, *BY_GROUPS, "filter", "token"]))
def test_a_system_admin_sees_all_but_personal_lists(who: Visitor, kind: str) -> None:
    admin = Visitor(who.user_id, "a", acls=frozenset({SYSTEM_ADMIN}))
    assert visible(kind, admin) == {}
    assert visible("listing", admin) == {"user_id": who.user_id}
    assert admin.has("anything")


@given(visitors, some, st.integers(1, 3))
def test_who_may_change_a_judgement(who: Visitor, groups: frozenset[int], author: int) -> None:
    row = {"_id": 1, "author_id": author, "group_ids": sorted(groups)}
    allowed = author == who.user_id or bool(who.admin_of & groups)
    assert may("annotation", who, row) is allowed
    assert may("classification", who, row) is (allowed and who.has("Classify"))


@given(visitors, st.lists(st.sampled_from(NUMBERS)))
def test_groups_of_a_new_row(who: Visitor, wanted: list[int]) -> None:
    assert set(seen_groups(who, wanted)) == set(wanted) & who.groups
    assert own_groups(who, None) == sorted(who.groups)
    if in_groups(who, wanted):
        assert own_groups(who, wanted) == sorted(set(wanted))
    else:
        with pytest.raises(BadRequest):
            own_groups(who, wanted)
