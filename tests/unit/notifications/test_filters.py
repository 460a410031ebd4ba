"""Filters as pure functions: whatever they are and whatever happened."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.common.errors import BadRequest
from server.notifications import filters, rules
from server.notifications.filters import Filters, why_not
from server.notifications.topics import TOPICS
from server.rules import kinds

NAMES = st.sampled_from(["users", "Users", "simulation", "gfu", "gfu_gold", ""])
facts = st.fixed_dictionaries({}, optional={
    "username": st.sampled_from(["ada", "bob"]), "group": NAMES, "stream": NAMES, "reco": NAMES,
    "name": NAMES, "entry": NAMES, "area_90_deg2": st.none() | st.floats(0, 1e4)})
chosen = st.builds(
    Filters, own=st.sampled_from([None, True, False]), groups=st.lists(NAMES.filter(bool), max_size=2),
    streams=st.lists(st.sampled_from(["gfu*", "*", "none"]), max_size=2), recos=st.just([]),
    area_below_deg2=st.none() | st.floats(0.1, 1e4), text=st.sampled_from(["", "muon", "MUON", "x"]))


@given(chosen, facts, st.sampled_from(["muons", "run 1"]))
def test_a_filter_more_tells_no_more(given_filters: Filters, happened: dict[str, Any], title: str) -> None:
    told = not why_not(given_filters, happened, title, "ada", "username")
    own_only = Filters(own=given_filters.own)
    if told:
        assert not why_not(own_only, happened, title, "ada", "username")
        if given_filters.own is not False:
            assert happened["username"] == "ada"
        if given_filters.area_below_deg2 is not None:
            assert happened["area_90_deg2"] < given_filters.area_below_deg2
        if given_filters.groups:
            assert happened["group"].lower() in [one.lower() for one in given_filters.groups]
        assert given_filters.text.lower() in title
    assert not why_not(Filters(own=False), happened, title, "ada", "username"), "no filter tells all"


@given(facts)
def test_what_belongs_to_nobody_is_not_asked_for_its_owner(happened: dict[str, Any]) -> None:
    assert not why_not(Filters(), happened, "x", "ada", "")


@pytest.mark.parametrize("topic", TOPICS.values(), ids=list(TOPICS))
def test_topics_ask_for_facts_that_there_are(topic: Any) -> None:
    known = kinds.kind(topic.kind).facts
    assert topic.kind in {one.name for one in kinds.kinds()}
    for name in topic.filters:
        assert name == "own" or filters.FACTS[name] in known, name
    assert not topic.owner or topic.owner in known
    filters.check(Filters(text="x"), topic.filters, topic.name)


@pytest.mark.parametrize(("document", "says"), [
    ({"groups": ["a"]}, "filters.groups"), ({"area_below_deg2": 0}, "area_below_deg2"),
    ({"area_below_deg2": -1}, "area_below_deg2"), ({"recos": ["a\nb"]}, "printable"),
    ({"text": "\r"}, "printable"),
    ({"recos": [""]}, "recos"), ({"recos": "x"}, "recos"), ({"recos": ["x"] * 51}, "recos"),
    ({"other": 1}, "other"), ({"own": "yes"}, "own"), ({"recos": ["x" * 101]}, "recos"),
])  # fmt: skip
def test_filters_that_are_refused(document: dict[str, Any], says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        filters.check(rules.read(document, Filters), TOPICS["scan_final"].filters, "scan_final")
