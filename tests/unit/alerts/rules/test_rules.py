"""Which rule an event meets, rules of requests, and dry runs."""

from __future__ import annotations

import pytest

from config.alerts import AlertRule, AlertStep
from server.alerts.rules import stored
from server.alerts.rules.matching import Traits, any_fits, first_match
from server.alerts.way import arriving
from server.common.errors import BadRequest, NotFound
from server.rest.context import Context
from tests.support.alerts import arrival, event_bytes, with_alerts


def test_the_first_active_rule_counts() -> None:
    rules = {"off": AlertRule(is_active=False), "hese": AlertRule(streams=["hese*"]),
             "tracks": AlertRule(streams=["*"], event_types=["neutrino", "GFU*"])}
    assert first_match(rules, Traits("heseEvent16Data", "HESE")) == "hese"
    assert first_match(rules, Traits("NEUTRINO", "gfu_gold")) == "tracks"
    assert first_match(rules, Traits("neutrino", "EHE")) is None


def test_patterns() -> None:
    assert any_fits(["a?", "*z"], "ab")
    assert not any_fits([], "ab")


@pytest.mark.parametrize(("body", "says"), [
    ({"streems": []}, "streems"), ({"steps": []}, "at least one"),
    ({"steps": [{"reco": "nothing"}]}, "steps[0].reco"),
    ({"steps": [{"reco": "track", "nsides": "7:0"}]}, "steps[0].nsides"), ([], "object"), (None, "object"),
    ({"steps": [{"reco": "track", "deadline_seconds": -1}]}, "deadline_seconds"),
])  # fmt: skip
def test_rules_that_are_refused(body: object, says: str) -> None:
    with pytest.raises(BadRequest) as error:
        stored.read(body)
    assert says in error.value.reason


async def test_stored_rules_come_first(ctx: Context) -> None:
    ctx = with_alerts(ctx)
    rule = AlertRule(steps=[AlertStep(reco="cascade")])
    await stored.keep(ctx, "mine", rule, "somebody")
    assert list(await stored.in_force(ctx)) == ["mine", "one"]
    await stored.keep(ctx, "one", rule, "somebody")
    assert (await stored.in_force(ctx))["one"] == rule
    await stored.forget(ctx, "one")
    assert (await stored.in_force(ctx))["one"] != rule
    with pytest.raises(NotFound):
        await stored.forget(ctx, "one")
    with pytest.raises(BadRequest, match="name"):
        await stored.keep(ctx, "a b", rule, "somebody")


async def test_a_dry_run_starts_nothing(ctx: Context) -> None:
    ctx = with_alerts(ctx)
    await arriving.take_in(ctx, arrival(event_bytes()))
    row, = await stored.dry_run(ctx, {"none": AlertRule(streams=["x"])})
    assert (row["was"], row["would_be"], row["would_scan"]) == ("one", None, [])
    row, = await stored.dry_run(ctx, {"all": AlertRule()})
    assert (row["would_be"], row["would_scan"]) == ("all", ["track_mpe", "millipede"])
