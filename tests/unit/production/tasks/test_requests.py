"""Actions that take long: they end, they may be repeated, and a worker that dies leaves none behind."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from iceprod.tokens import Caller
from server.common.errors import BadRequest, NotFound
from server.production import repair
from server.production.datasets import configs, datasets
from server.production.submission import actions, materialisation
from server.production.tasks import bulk, counting, requests
from server.production.tasks.task_store import soon
from server.rest.context import Context
from tests.unit.production.conftest import Maker

ALICE = Caller("alice", frozenset({"user"}), ("users",))
ADMIN = Caller("root", frozenset({"admin"}), ("admin",))
CONFIG: dict[str, Any] = {"version": 3.2, "description": "c", "tasks": [
    {"name": "gen", "requirements": {"memory": 2}, "trays": [{"modules": [{"src": "a.py"}]}]},
    {"name": "hits", "depends": ["gen"], "trays": [{"modules": [{"src": "b.py"}]}]}]}
SUBMISSION: dict[str, Any] = {
    "config": msgspec.json.encode(CONFIG).decode(),
    "description": "d",
    "jobs_submitted": 3,
}


async def ask(ctx: Context, action: str, payload: dict[str, Any], caller: Caller = ALICE) -> dict[str, Any]:
    """Ask for an action, do it, and tell how it went."""
    request_id = await requests.create(ctx, action, payload, caller)
    await requests.work(ctx)
    return await requests.get(ctx, action, request_id)


async def submitted(ctx: Context) -> str:
    answer = await ask(ctx, "submit", await actions.check_submission(ctx, SUBMISSION, ALICE))
    assert answer["status"] == "complete", answer
    return str(answer["payload"]["dataset_id"])


async def test_submit(ctx: Context) -> None:
    dataset = await datasets.get(ctx, await submitted(ctx))
    assert (dataset["username"], dataset["tasks_per_job"], dataset["tasks_submitted"]) == ("alice", 2, 6)
    assert await configs.get(ctx, dataset["dataset_id"]) == CONFIG


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"config": "{"}, "config is not valid"),
        ({"config": "[]"}, "config is not valid"),
        ({"config": 5}, "config"),
        ({"config": '{"version": 3.2}'}, "Validation error"),
        ({"username": "bob"}, "cannot submit as a different user"),
        ({"group": "admin"}, "not a member of selected group"),
        ({"group": ""}, "group"),
        ({"username": 5}, "username"),
        ({"extra_submit_fields": {"auth_groups_read": [5]}}, "auth_groups_read"),
        ({"extra_submit_fields": {"auth_groups_read": ["users", "nobody"]}}, "no group 'nobody'"),
        ({"jobs_submitted": 0}, "jobs_submitted"),
        ({"jobs_submitted": True}, "jobs_submitted"),
        ({"extra_submit_fields": {"colour": 1}}, "colour"),
        ({"extra_submit_fields": {"priority": True}}, "priority"),
        ({"extra_submit_fields": "x"}, "not an object"),
    ],
)
async def test_wrong_submissions(ctx: Context, change: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest, match=text):
        await actions.check_submission(ctx, SUBMISSION | change, ALICE)


async def test_admins_submit_for_others(ctx: Context) -> None:
    checked = await actions.check_submission(ctx, SUBMISSION | {"username": "bob", "group": "simprod"}, ADMIN)
    assert checked["username"] == "bob"


async def test_a_submission_begun_twice_makes_one_dataset(ctx: Context) -> None:
    payload = await actions.check_submission(ctx, SUBMISSION, ALICE)
    request_id = await requests.create(ctx, "submit", payload, ALICE)
    await actions.submit(ctx, requests.Work(request_id, "submit", payload, ALICE))  # and its worker dies
    await ctx.db.requests.update_one(
        {"request_id": request_id}, {"$set": {"status": "processing", "until": soon(-1)}}
    )
    assert await requests.work(ctx) == 1
    assert (await requests.get(ctx, "submit", request_id))["status"] == "complete"
    assert await ctx.db.datasets.count_documents({}) == 1


async def test_a_request_that_kills_its_workers_is_given_up(ctx: Context) -> None:
    request_id = await requests.create(ctx, "submit", {}, ALICE)
    await ctx.db.requests.update_one({"request_id": request_id},
                                     {"$set": {"status": "processing", "until": soon(-1), "attempts": 3}})
    await requests.work(ctx)
    answer = await requests.get(ctx, "submit", request_id)
    assert answer["status"] == "error"
    assert "never came to an end" in answer["error_message"]


async def test_a_request_that_somebody_works_on_is_left_alone(ctx: Context) -> None:
    request_id = await requests.create(ctx, "submit", {}, ALICE)
    await ctx.db.requests.update_one({"request_id": request_id},
                                     {"$set": {"status": "processing", "until": soon(30)}})
    assert await requests.work(ctx) == 0


async def test_edit_config(ctx: Context) -> None:
    dataset = await submitted(ctx)
    await materialisation.materialise(ctx, dataset)
    new = {**CONFIG, "description": "better", "tasks": [
        {**CONFIG["tasks"][0], "requirements": {"memory": 1.5}}, CONFIG["tasks"][1]]}
    answer = await ask(ctx, "edit_config", {"dataset_id": dataset, "config": actions.text_of(new)})
    assert answer["status"] == "complete", answer
    needs = {task["requirements"]["memory"] async for task in ctx.db.tasks.find({"name": "gen"})}
    assert needs == {1.5}
    assert (await datasets.get(ctx, dataset))["description"] == "better"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"tasks": CONFIG["tasks"][:1]}, "number of tasks"),
        (
            {"tasks": [{**CONFIG["tasks"][0], "name": "x"}, {**CONFIG["tasks"][1], "depends": ["x"]}]},
            "name of task 0",
        ),
        ({"tasks": [CONFIG["tasks"][0], {**CONFIG["tasks"][1], "depends": []}]}, "task 1 depends on"),
    ],
)
async def test_edits_that_would_make_another_dataset(ctx: Context, change: dict[str, Any], text: str) -> None:
    dataset = await submitted(ctx)
    payload = {"dataset_id": dataset, "config": actions.text_of(CONFIG | change)}
    answer = await ask(ctx, "edit_config", payload)
    assert answer["status"] == "error"
    assert text in answer["error_message"]
    assert await configs.get(ctx, dataset) == CONFIG


async def states(ctx: Context, dataset: str) -> tuple[dict[str, int], str]:
    return await counting.of_dataset(ctx, dataset), (await datasets.get(ctx, dataset))["status"]


async def test_suspend_and_reset(ctx: Context) -> None:
    dataset = await submitted(ctx)
    await materialisation.materialise(ctx, dataset)
    for action, wanted in (
        ("suspend", ({"suspended": 6}, "suspended")),
        ("reset", ({"waiting": 3, "idle": 3}, "processing")),
        ("hard_reset", ({"waiting": 3, "idle": 3}, "processing")),
    ):
        payload = actions.check_status_change({"dataset_id": dataset, "action": action}, "dataset")
        answer = await ask(ctx, "dataset_status", payload)
        assert (answer["status"], answer["payload"]["progress"]) == ("complete", 100)
        assert await states(ctx, dataset) == wanted


async def test_jobs_and_tasks_by_list_and_by_status(ctx: Context) -> None:
    dataset = await submitted(ctx)
    await materialisation.materialise(ctx, dataset)
    job = await ctx.db.jobs.find_one({"dataset_id": dataset})
    assert job
    body = {"dataset_id": dataset, "action": "suspend", "job_ids": [job["job_id"]]}
    await ask(ctx, "job_status", actions.check_status_change(body, "job"))
    assert (await states(ctx, dataset))[0] == {"suspended": 2, "waiting": 2, "idle": 2}
    body = {"dataset_id": dataset, "action": "suspend", "initial_status": "waiting"}
    await ask(ctx, "task_status", actions.check_status_change(body, "task"))
    assert (await states(ctx, dataset))[0] == {"suspended": 4, "idle": 2}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "dataset_id"),
        ({"action": "explode"}, "invalid action"),
        ({"initial_status": "x"}, "initial_status"),
        ({"initial_status": "idle", "task_ids": []}, "mutually exclusive"),
        ({"task_ids": [5]}, "task_ids"),
    ],
)
def test_wrong_status_changes(body: dict[str, Any], text: str) -> None:
    whole = ({"dataset_id": "d", "action": "reset"} | body) if body else {}
    with pytest.raises(BadRequest, match=text):
        actions.check_status_change(whole, "task")


async def test_materialisation_for_a_dataset_that_is_not_there(ctx: Context) -> None:
    answer = await ask(ctx, "materialization", actions.check_materialization({"dataset_id": "none"}))
    assert (answer["status"], answer["error_message"]) == ("error", "Dataset not found")


async def test_unknown_request(ctx: Context, make: Maker) -> None:
    with pytest.raises(NotFound, match="Request not found"):
        await requests.get(ctx, "submit", "none")


async def test_materialisation_with_a_status(ctx: Context) -> None:
    dataset = await submitted(ctx)
    body = {"dataset_id": dataset, "num": 2, "set_status": "suspended"}
    answer = await ask(ctx, "materialization", actions.check_materialization(body))
    assert (answer["status"], answer["payload"]["jobs"]) == ("complete", 2)
    assert (await states(ctx, dataset))[0] == {"suspended": 4}
    assert await requests.newest(ctx, "materialization", dataset)


@pytest.mark.parametrize("what", ["task_status", "job_status", "dataset_status"])
async def test_what_is_resumed_is_not_suspended_again(ctx: Context, monkeypatch: pytest.MonkeyPatch,
                                                      what: str) -> None:
    """Between the dataset's revival and its tasks', services look at datasets whose jobs have all ended."""
    dataset_id = await submitted(ctx)
    await materialisation.materialise(ctx, dataset_id, 3)
    target = {"dataset_id": dataset_id, "action": "suspend"}
    await ask(ctx, "dataset_status", actions.check_status_change(target, "dataset"))
    assert (await datasets.get(ctx, dataset_id))["status"] == "suspended"
    assert {task["status"] async for task in ctx.db.tasks.find({"dataset_id": dataset_id})} == {"suspended"}
    reset = actions._TASKS["reset"]

    async def interrupted(ctx: Context, selection: bulk.Selection) -> int:
        await repair.settle(ctx)
        changed = await reset(ctx, selection)
        await bulk.suspend_stopped(ctx)
        return changed

    monkeypatch.setitem(actions._TASKS, "reset", interrupted)
    again = {**target, "action": "reset", "initial_status": "suspended"}
    answer = await ask(ctx, what, actions.check_status_change(again, what.removesuffix("_status")))
    assert answer["status"] == "complete"
    assert (await datasets.get(ctx, dataset_id))["status"] == "processing"
    found = {task["status"] async for task in ctx.db.tasks.find({"dataset_id": dataset_id})}
    assert found == {"waiting", "idle"}
