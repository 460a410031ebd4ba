"""The table of failure rules: what it says, what of it can be stored, and what follows for tasks."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Failures
from server.common.errors import BadRequest
from server.production.failures import policy
from server.production.failures.failures import DEFAULT_RULES, Action, Blame, check_rules, find_rule, judge
from server.production.leases import ends, leases
from server.production.leases.ends import Report
from server.production.leases.leases import Claim
from server.production.sites import pilots
from server.rest.context import Context
from tests.unit.production.conftest import Maker

LAST = {"name": "rest", "pattern": "", "blame": "payload", "action": "retry"}


@pytest.mark.parametrize(("reason", "name"), [
    ("memory limit: used 4.20 GB of 4 GB", "memory"), ("Resource overusage for disk: 12", "disk"),
    ("time limit: ran 2.20 h of 2 h", "time"), ("no space left on device", "full disk"),
    ("transfer failure: http://x: HTTP 500", "outside"), ("tray/module was killed by SIGKILL", "taken away"),
    ("CVMFS is not mounted", "broken node"), ("data: no way to transfer 's3://x'", "impossible"),
    ("module ended with status 1", "other"), ("", "other")])
def test_default_rules(reason: str, name: str) -> None:
    assert find_rule(reason).name == name


def test_the_defaults_pass_their_own_check() -> None:
    check_rules(DEFAULT_RULES)


@given(st.text(max_size=300))
def test_every_reason_has_a_rule(reason: str) -> None:
    assert find_rule(reason) in DEFAULT_RULES


@pytest.mark.parametrize(("rules", "text"), [
    ([], "1 to 100"), ([{**LAST, "pattern": "x"}], "the last must have an empty pattern"),
    ([{**LAST, "pattern": "("}, LAST], "not a regular expression"), ([LAST, LAST], "used once"),
    ([{**LAST, "pattern": r"(a)\1", "name": "a"}, LAST], "not a regular expression that RE2 knows"),
    ([{**LAST, "limit": -1}], "limit"), ([{**LAST, "blame": "nobody"}], "blame"),
    ([{**LAST, "resource": "memory"}], "only for the action grow"), ([{**LAST, "more": 1}], "more"),
    ("none", "rules"), ([{"name": "x"}], "pattern")])
async def test_a_bad_table_is_refused_and_its_fault_named(ctx: Context, rules: Any, text: str) -> None:
    with pytest.raises(BadRequest, match=text):
        await policy.replace(ctx, {"rules": rules}, "root")
    assert (await policy.show(ctx))["is_default"]


async def test_a_table_holds_until_it_is_taken_back(ctx: Context) -> None:
    await policy.rules(ctx)
    shown = await policy.replace(ctx, {"rules": [{**LAST, "limit": 2}]}, "root")
    assert (shown["username"], shown["rules"][0]["limit"]) == ("root", 2)
    assert [rule.name for rule in await policy.rules(ctx)] == ["rest"]
    assert (await policy.forget(ctx))["rules"] == msgspec.to_builtins(DEFAULT_RULES)
    assert await policy.rules(ctx) == DEFAULT_RULES


def test_limits_caps_and_hopeless_failures() -> None:
    limits = Failures(max_memory_gb=8)
    task = {"requirements": {"memory": 2.0}, "failures": 0}
    assert not judge(task, "out of memory", limits).given_up
    assert "8 times" in judge({**task, "failure_counts": {"memory": 8}}, "out of memory", limits).given_up
    assert "cap of 8" in judge({**task, "requirements": {"memory": 8.0}}, "out of memory", limits).given_up
    assert "do not heal" in judge(task, "data: no way to transfer 'x'", limits).given_up


async def fail_at(ctx: Context, pilot_id: str, reason: str) -> str:
    host = (await pilots.get(ctx, pilot_id))["host"]
    got = (await leases.claim(ctx, Claim({"memory": 64}, pilot_id=pilot_id, host=host)))[0]
    await ends.reset(ctx, got["task_id"], Report(got["instance_id"], reason=reason))
    return str(got["task_id"])


async def pilot(ctx: Context, host: str) -> str:
    return await pilots.create(ctx, {"queue_host": "h", "queue_version": "1", "resources": {}, "host": host})


async def test_what_was_short_grows_though_nobody_measured_it(ctx: Context, make: Maker) -> None:
    await make.task(requirements={"memory": 2.0})
    task = await make.read(await fail_at(ctx, await pilot(ctx, "a"), "killed: out of memory"))
    assert task["requirements"] == {"memory": 3.0}
    assert task["verdict"]["grown"] == {"memory": [2.0, 3.0]}
    assert (task["failure_counts"], task["infrastructure_failures"]) == ({"memory": 1}, 1)


async def test_a_task_goes_elsewhere_if_there_is_another_host(ctx: Context, make: Maker) -> None:
    await make.task()
    one = await pilot(ctx, "a")
    task_id = await fail_at(ctx, one, "CVMFS is not mounted")
    assert await leases.claim(ctx, Claim({}, pilot_id=one, host="a")), "there is no other"
    await leases.release_pilot(ctx, one)
    other = await pilot(ctx, "b")
    await fail_at(ctx, one, "CVMFS is not mounted")
    assert await leases.claim(ctx, Claim({}, pilot_id=one, host="a")) == []
    assert [t["task_id"] for t in await leases.claim(ctx, Claim({}, pilot_id=other, host="b"))] == [task_id]


async def test_a_task_that_avoids_a_host_does_not_hide_the_next(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset()
    await make.task(dataset, priority=5.0)
    one, _ = await pilot(ctx, "a"), await pilot(ctx, "b")
    await fail_at(ctx, one, "bus error")
    await make.task(dataset, job_index=1)
    got = await leases.claim(ctx, Claim({}, pilot_id=one, host="a"))
    assert [task["job_index"] for task in got] == [1]


async def test_no_other_try_where_none_can_help(ctx: Context, make: Maker) -> None:
    await make.task()
    task = await make.read(await fail_at(ctx, await pilot(ctx, "a"), "data: no way to transfer 'ftp://x'"))
    assert task["status"] == "failed"
    assert "do not heal" in task["verdict"]["given_up"]


def test_the_words_of_blame_and_action() -> None:
    assert {blame.value for blame in Blame} == {"infrastructure", "payload", "outside"}
    assert {action.value for action in Action} == {"retry", "elsewhere", "grow", "confirm", "fail"}
