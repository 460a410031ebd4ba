"""Which rule an event meets, rules of requests, and dry runs."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from config.alerts import AlertRule, AlertStep
from server.alerts.common.alerts import State
from server.alerts.rules import journal, stored
from server.alerts.rules.matching import choose
from server.alerts.way import arriving
from server.common.errors import BadRequest, NotFound
from server.rest.context import Context
from tests.support.alerts import arrival, event_bytes, with_alerts


def test_the_first_active_rule_counts() -> None:
    rules = {"off": AlertRule(is_active=False), "hese": AlertRule(streams=["hese*"]),
             "tracks": AlertRule(streams=["*"], event_types=["neutrino", "GFU*"])}
    assert choose(rules, {"stream": "heseEvent16Data", "event_type": "HESE"}).name == "hese"
    assert choose(rules, {"stream": "NEUTRINO", "event_type": "gfu_gold"}).name == "tracks"
    nobody = choose(rules, {"stream": "neutrino", "event_type": "EHE"})
    assert nobody.name is None
    assert nobody.passed_over == {
        "hese": "stream is 'neutrino', not like hese*",
        "tracks": "event_type is 'EHE', not like neutrino or GFU*"}


async def test_the_journal_has_what_a_rule_took(ctx: Context) -> None:
    ctx = with_alerts(ctx)
    taken = await arriving.take_in(ctx, arrival(event_bytes()))
    row, = await journal.of_rule(ctx, "one", 0, 10)
    assert row["result"] == {"alert_id": taken.alert_id, "steps": ["track_mpe"]}
    assert (row["state"], row["kind"], row["facts"]["stream"]) == ("done", "alert", taken.stream)
    assert await journal.of_rule(ctx, "other", 0, 10) == []
    await journal.note(ctx, taken, "one", AlertRule(), {})
    assert len(await journal.of_rule(ctx, "one", 0, 10)) == 1


async def test_what_no_rule_wants_says_why(ctx: Context) -> None:
    made = with_alerts(ctx)
    alerts = msgspec.structs.replace(made.settings.alerts, rules={"hese": AlertRule(streams=["hese*"])})
    ctx = replace(made, settings=msgspec.structs.replace(made.settings, alerts=alerts))
    alert = await arriving.take_in(ctx, arrival(event_bytes()))
    assert (alert.state, alert.rule) == (State.IGNORED, "")
    assert alert.reason.startswith("no rule wants it: hese: stream is")


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
    assert "not like x" in row["why_not"]["none"]
    row, = await stored.dry_run(ctx, {"all": AlertRule()})
    assert (row["would_be"], row["would_scan"]) == ("all", ["track_mpe", "millipede"])
