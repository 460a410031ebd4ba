"""What a configuration would create, and how its faults are named."""

from __future__ import annotations

from typing import Any

import pytest

from iceprod.dataset_config import problems
from iceprod.tokens import Caller
from server.production.datasets import configs
from server.production.submission import materialisation, scripts
from server.production.submission.previews import preview
from server.rest.context import Context
from tests.unit.production.conftest import Maker

ALICE = Caller("alice", frozenset({"user"}), ("users",))
CONFIG: dict[str, Any] = {
    "version": 3.2, "description": "c", "steering": {"parameters": {"seed": 7}},
    "tasks": [
        {"name": "gen", "requirements": {"memory": "$eval(1+$(job))"},
         "trays": [{"modules": [{"src": "run.py", "args": "--seed $(seed) --at $(Seed) --home $HOME"}]}]},
        {"name": "hits", "depends": ["gen"], "trays": [{"modules": [{"src": "b.py"}]}]}]}


async def test_what_would_be_created(ctx: Context) -> None:
    shown = await preview(ctx, ALICE, CONFIG, 5000)
    assert (shown["valid"], shown["jobs"], shown["tasks"]) == (True, 5000, 10_000)
    assert shown["jobs_made_at_once"] == 1000
    gen, hits = shown["first_job"]
    assert (gen["status"], gen["requirements"]["memory"]) == ("waiting", 1)
    assert (hits["status"], hits["depends"]) == ("idle", ["gen"])
    assert gen["task"]["trays"][0]["modules"][0]["args"] == "--seed 7 --at $(Seed) --home $HOME"
    assert [warning["path"] for warning in shown["warnings"]] == ["tasks[0].trays[0].modules[0].args"]
    assert "$(Seed)" in shown["warnings"][0]["warning"]
    assert shown["warnings"][0]["nearest"] == "seed"
    assert not await ctx.db.datasets.find_one({})


async def test_it_is_what_is_created(ctx: Context, make: Maker) -> None:
    dataset = await make.dataset(jobs=1, per_job=2)
    await configs.put(ctx, dataset, CONFIG)
    await materialisation.materialise(ctx, dataset)
    tasks = await ctx.db.tasks.find({"dataset_id": dataset}, sort=[("task_index", 1)]).to_list()
    runs = await scripts.payloads(ctx, tasks)
    shown = await preview(ctx, ALICE, CONFIG, 1)
    assert [task["requirements"] for task in shown["first_job"]] == [task["requirements"] for task in tasks]
    assert [task["task"] for task in shown["first_job"]] == [runs[task["task_id"]]["task"] for task in tasks]


async def test_every_fault_is_named_with_its_path(ctx: Context) -> None:
    modules = [{"src": "a", "args": 5}, {"src": "b", "colour": "red"}]
    config = {"version": 3.2, "description": "c", "tasks": [
        {"name": "a", "trays": [{"modules": modules}]}, {"name": 1, "trays": []}]}
    shown = await preview(ctx, ALICE, config, 1)
    assert not shown["valid"]
    errors = {error["path"]: error["error"] for error in shown["errors"]}
    assert set(errors) == {"tasks[0].trays[0].modules[0].args", "tasks[0].trays[0].modules[1].colour",
                           "tasks[1].name", "tasks[1].trays"}
    assert "string" in errors["tasks[1].name"]
    assert "colour" in errors["tasks[0].trays[0].modules[1].colour"]


@pytest.mark.parametrize(("changes", "path"), [
    ({"depends": ["gen", "later"]}, "tasks[1].depends[1]"),
    ({"name": "gen"}, "tasks[1].name"),
    ({"parameters": {"a": ["x", "$(job"]}}, "tasks[1].parameters.a[1]"),
    ({"requirements": {"memory": "much"}}, "tasks[1].requirements.memory")])
def test_paths(changes: dict[str, Any], path: str) -> None:
    config = {**CONFIG, "tasks": [CONFIG["tasks"][0], {**CONFIG["tasks"][1], **changes}]}
    found = problems(config)
    assert [problem.path for problem in found] == [path]
    assert str(found[0]).startswith("Validation error in config['tasks'][1]")
    assert str(found[0]).endswith(f"(at {path})")


async def test_what_cannot_be_evaluated_for_some_job(ctx: Context) -> None:
    first = {**CONFIG["tasks"][0], "requirements": {"memory": "$eval(100-$(job))"}}
    shown = await preview(ctx, ALICE, {**CONFIG, "tasks": [first, CONFIG["tasks"][1]]}, 1000)
    assert not shown["valid"]
    assert "job 999" in shown["errors"][0]["error"]


async def test_dependence_on_what_is_not_there(ctx: Context) -> None:
    second = {**CONFIG["tasks"][1], "depends": ["20000:gen"]}
    shown = await preview(ctx, ALICE, {**CONFIG, "tasks": [CONFIG["tasks"][0], second]}, 1)
    assert "20000:gen" in shown["errors"][0]["error"]
