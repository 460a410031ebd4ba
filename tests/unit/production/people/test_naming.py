"""What callers may name, and that every route asks the one function."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from iceprod.tokens import Caller
from server.common.errors import BadRequest, Forbidden
from server.production.people.naming import Named, check_named
from server.production.submission.checks import elsewhere
from server.rest.context import Context
from tests.unit.production.conftest import Maker
from tools import wings

ANN = Caller("ann", frozenset({"user"}), ("users", "simprod"))
ADMIN = Caller("root", frozenset({"admin"}), ("admin",))
SERVICE = Caller("svc", frozenset({"system"}))
SITE = Caller("north", frozenset({"system"}), claims={"site": "north"})


@pytest.mark.parametrize(("caller", "named"), [
    (ANN, Named()), (ANN, Named("simprod", ("users", "filtering"), "ann")),
    (ADMIN, Named("simprod", (), "ann")),
    (SERVICE, Named("filtering", ("users",), "bob")), (SITE, Named(site="north"))])
async def test_names_of_ones_own(ctx: Context, caller: Caller, named: Named) -> None:
    await check_named(ctx, caller, named)


@pytest.mark.parametrize(("caller", "named", "text"), [
    (ANN, Named("filtering"), "not a member"), (ANN, Named("nobody"), "not a member"),
    (ADMIN, Named("nobody"), "no group 'nobody'"), (SERVICE, Named("nobody"), "no group 'nobody'"),
    (ANN, Named("users", ("users", "nobody")), "auth_groups_read: there is no group 'nobody'"),
    (ANN, Named("users", (), "bob"), "different user")])
async def test_names_of_others(ctx: Context, caller: Caller, named: Named, text: str) -> None:
    with pytest.raises(BadRequest, match=text):
        await check_named(ctx, caller, named)


async def test_a_site_of_others(ctx: Context) -> None:
    with pytest.raises(Forbidden, match="for the site north"):
        await check_named(ctx, SITE, Named(site="south"))


async def test_tasks_of_datasets_that_one_may_read(ctx: Context, make: Maker) -> None:
    shared = await make.dataset()
    hidden = await make.dataset(group="filtering", username="bob", auth_groups_read=())
    number = (await ctx.db.datasets.find_one({"dataset_id": hidden}))["dataset"]  # type: ignore[index]
    task = (await make.task(hidden))["task_id"]
    await check_named(ctx, ANN, Named(depends=(f"{shared}:gen",)))
    for depends in (f"{hidden}:gen", f"{number}:gen", task, "f" * 32, "999999:gen"):
        with pytest.raises(Forbidden, match="no dataset that you may read"):
            await check_named(ctx, ANN, Named(depends=(depends,)))
    for caller in (ADMIN, SERVICE, Caller("bob", frozenset({"user"}))):
        await check_named(ctx, caller, Named(depends=(f"{hidden}:gen", task)))


@pytest.mark.parametrize(("tasks", "found"), [
    ([{"name": "a"}, {"name": "b", "depends": ["a", 0, "0"]}], ()),
    ([{"name": "a", "depends": ["12:gen", "f" * 32, "12:gen"]}], ("12:gen", "f" * 32)),
    ([{"name": "a", "depends": ["nothing"]}], ()), ("none", ()), ([5], ()), (None, ())])
def test_what_a_configuration_names_elsewhere(tasks: Any, found: tuple[str, ...]) -> None:
    assert elsewhere({"tasks": tasks}) == found


ASKING = {
    "server.production.datasets.dataset_routes", "server.production.submission.actions",
    "server.production.submission.checks", "server.production.submission.previews",
    "server.sensor.actions.actions", "server.sensor.clock.asking"}
"""Who takes names of groups, owners and others' tasks from callers."""


def test_every_way_to_a_dataset_asks() -> None:
    calls = {name: {node.func.id for node in ast.walk(ast.parse(path.read_text()))
                    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
             for name, path in wings.modules().items() if name.startswith("server.")}
    assert {name for name, called in calls.items() if "check_named" in called} == ASKING
    makers = {name for name, called in calls.items() if "NewDataset" in called}
    assert makers == {
        "server.production.datasets.dataset_routes", "server.production.submission.actions",
        "server.sensor.actions.dataset_actions",  # its names were looked at when it was scheduled
        "server.sensor.actions.site_tests", "server.scans.run.launcher",  # their own
        "server.desk.analyses.grid_runs"}  # its author's, for the group that everybody has
