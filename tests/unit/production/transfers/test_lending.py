"""What tasks are lent for their files, out of whose credentials, and what is said of it before."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from config.settings import Credentials, Issuer
from iceprod.config_check import Kind
from iceprod.tokens import Caller
from server.common.errors import BadRequest, NotFound
from server.production.datasets import configs
from server.production.failures.explain import explain
from server.production.leases import leases
from server.production.leases.leases import Claim
from server.production.people import credentials
from server.production.people.credentials import Owner
from server.production.sites import pilots
from server.production.submission import checks, materialisation, scripts
from server.production.submission.previews import preview
from server.production.tasks import kinds
from server.production.transfers import lending
from server.production.transfers.needs import Need, needs_of, scope_of
from server.rest.context import Context
from tests.unit.production.conftest import Maker

ALICE = Caller("alice", frozenset({"user"}), ("users",))

S3 = {"url": "https://s3.example.org", "type": "s3", "buckets": ["sim"], "access_key": "AK",
      "secret_key": "SECRET"}
TOKEN = {"url": "https://data.example.org/", "type": "oauth", "access_token": "T", "refresh_token": ""}


@pytest.fixture(autouse=True)
def _forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "KEPT_SECONDS", -1.0)


def config(*data: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"version": 3.2, "description": "c", "tasks": [
        {"name": "gen", "data": list(data), "trays": [{"modules": [{"src": "run.sh"}]}], **more}]}


def needs(*remotes: str, writes: bool = False) -> list[Need]:
    return [Need(remote, "x", not writes, writes) for remote in remotes]


async def keep(ctx: Context, body: dict[str, Any], owner: Owner) -> None:
    await credentials.create(ctx, owner, credentials.new_credential(body))


async def lend(ctx: Context, *wanted: Need, dataset: dict[str, Any] | None = None,
               **task: Any) -> dict[str, Any]:
    owner = {"dataset_id": "d", "username": "alice", "group": "users", **(dataset or {})}
    return await lending.lend(ctx, owner, {"name": "gen", "task": task}, [*wanted], 8.0)


# -- addresses of S3


async def test_addresses_are_signed_and_keys_stay(ctx: Context) -> None:
    await keep(ctx, S3, Owner("user", "alice"))
    lent = await lend(ctx, *needs("s3://sim/in"), *needs("s3://sim/out", writes=True))
    assert set(lent) == {"signed"}
    assert set(lent["signed"]["s3://sim/in"]) == {"get", "expires"}
    assert set(lent["signed"]["s3://sim/out"]) == {"put", "head", "expires"}
    assert lent["signed"]["s3://sim/in"]["get"].startswith("https://s3.example.org/sim/in?X-Amz-Algorithm=")
    assert "SECRET" not in str(lent)
    assert lent["signed"]["s3://sim/in"]["expires"] == pytest.approx(time.time() + 32 * 3600, abs=60)


async def test_without_keys_the_reason_is_told(ctx: Context) -> None:
    await keep(ctx, S3, Owner("user", "bob"))
    lent = await lend(ctx, *needs("s3://sim/in"))
    assert lent == {"missing": {"s3://sim/in": "HTTP 403: no credential: no stored credential covers the "
                                               "bucket 'sim'"}}


async def test_the_nearest_credential_counts(ctx: Context) -> None:
    owners = [Owner("group", "users"), Owner("user", "alice"), Owner("dataset", "d"),
              Owner("dataset", "d", "gen")]
    for number, owner in enumerate(owners):
        await keep(ctx, {**TOKEN, "access_token": f"T{number}"}, owner)
        lent = await lend(ctx, *needs("https://data.example.org/a/x"))
        assert lent["tokens"][0]["token"] == f"T{number}"


async def test_the_longest_prefix_of_ones_own_counts_at_a_folders_border(ctx: Context) -> None:
    for prefix, token in (("https://data.example.org/a", "A"), ("https://data.example.org/a/b", "B"),
                          ("osdf:///ns", "O")):
        await keep(ctx, {**TOKEN, "transfer_prefix": prefix, "access_token": token}, Owner("user", "alice"))
    for remote, token in (("https://data.example.org/a/x", "A"), ("https://data.example.org/a/b/x", "B"),
                          ("https://data.example.org/a/bc", "A"), ("osdf:///ns/x", "O")):
        assert (await lend(ctx, *needs(remote)))["tokens"][0]["token"] == token
    assert await lend(ctx, *needs("https://data.example.org/ab")) == {}
    assert await lend(ctx, *needs("https://data.example.org.evil/a/x", "/a/x", "gsiftp://a/b")) == {}


async def test_a_token_that_ended_is_not_lent(ctx: Context) -> None:
    await keep(ctx, {**TOKEN, "expiration": time.time() - 5}, Owner("user", "alice"))
    lent = await lend(ctx, *needs("https://data.example.org/x"))
    assert lent == {"missing": {"https://data.example.org/x": "HTTP 403: no credential: the token for "
                                                              "https://data.example.org/ has ended"}}


# -- tokens of less


class Exchange(RequestHandler):
    """An issuer that narrows tokens, unless it is away."""

    def post(self) -> None:
        asked = {name: self.get_body_argument(name) for name in self.request.body_arguments}
        self.settings["asked"].append(asked)
        if self.settings["away"]:
            self.set_status(503)
        elif "secret" in asked["scope"]:
            self.set_status(400)
            self.write({"error": "invalid_scope"})
        else:
            self.write({"access_token": f"{asked['subject_token']}:{asked['scope']}", "expires_in": 3600})


@pytest.fixture
async def issuer(ctx: Context) -> AsyncIterator[tuple[Context, dict[str, Any]]]:
    application = Application([("/token", Exchange)], asked=[], away=False, log_function=lambda handler: None)
    server, sockets = HTTPServer(application), bind_sockets(0, "127.0.0.1")
    server.add_sockets(sockets)
    url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}/token"
    known = Credentials(issuers={"https://data.example.org/": Issuer(url, "us", "secret")})
    settings = msgspec.structs.replace(ctx.settings, credentials=known)
    yield replace(ctx, settings=settings), application.settings
    server.stop()
    await server.close_all_connections()


async def test_tokens_are_exchanged_for_ones_of_the_tasks_folders(
        issuer: tuple[Context, dict[str, Any]]) -> None:
    ctx, settings = issuer
    await keep(ctx, TOKEN, Owner("user", "alice"))
    base = "https://data.example.org"
    wanted = [*needs(f"{base}/in/a", f"{base}/in/b"), *needs(f"{base}/both/c", f"{base}/both/d"),
              *needs(f"{base}/both/out", writes=True)]
    lent = await lend(ctx, *wanted)
    assert {(row["prefix"], row["token"]) for row in lent["tokens"]} == {
        (f"{base}/in/", "T:storage.read:/in"),
        (f"{base}/both/", "T:storage.read:/both storage.modify:/both")}
    for _ in range(5):
        await lend(ctx, *wanted)
    assert len(settings["asked"]) == 2  # one for all tasks that use the folder


async def test_an_issuer_that_is_away_is_an_outage_and_no_refusal(
        issuer: tuple[Context, dict[str, Any]]) -> None:
    ctx, settings = issuer
    await keep(ctx, TOKEN, Owner("user", "alice"))
    settings["away"] = True
    lent = await lend(ctx, *needs("https://data.example.org/x/y"))
    why = lent["missing"]["https://data.example.org/x/y"]
    assert why.startswith("HTTP 503: no credential: the token issuer")
    settings["away"] = False
    lent = await lend(ctx, *needs("https://data.example.org/secret/y"))
    assert lent["missing"]["https://data.example.org/secret/y"] == (
        "HTTP 403: no credential: the token issuer refuses: invalid_scope")


async def test_a_task_may_name_its_scopes(issuer: tuple[Context, dict[str, Any]]) -> None:
    ctx, settings = issuer
    await keep(ctx, TOKEN, Owner("user", "alice"))
    scopes = {"https://data.example.org": "storage.read:/"}
    await lend(ctx, *needs("https://data.example.org/x/y"), token_scopes=scopes)
    assert [asked["scope"] for asked in settings["asked"]] == ["storage.read:/"]


@pytest.mark.parametrize(("remote", "prefix", "style", "scope"), [
    ("https://d/a/b/x", "https://d/", "", "storage.read:/a/b"),
    ("https://d/x", "https://d", "", "storage.read:/"),
    ("osdf:///ns/a/x", "osdf:///ns", "", "storage.read:/a"),
    ("https://d/a/x?y", "https://d/", "read:/ write:/", "read:/a")])
def test_scopes_are_derived_from_paths(remote: str, prefix: str, style: str, scope: str) -> None:
    assert scope_of(Need(remote, "x", True, False), prefix, style) == scope
    both = scope_of(Need(remote, "x", True, True), prefix, style)
    assert both == f"{scope} {scope.replace('storage.read', 'storage.modify').replace('read:', 'write:')}"


# -- at a claim, and later


async def ready(ctx: Context, make: Maker, *data: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A leased task that moves these files."""
    dataset = await make.dataset(jobs=1, group="users", **fields)
    await configs.put(ctx, dataset, config(*data))
    await materialisation.materialise(ctx, dataset)
    return (await leases.claim(ctx, Claim({"cpu": 1, "memory": 4.0})))[0]


async def test_a_claim_comes_with_what_is_lent_and_a_lease_gets_it_anew(ctx: Context, make: Maker) -> None:
    await keep(ctx, S3, Owner("user", "alice"))
    task = await ready(ctx, make, {"type": "permanent", "remote": "s3://sim/$(job)/x", "local": "x"})
    payload = (await kinds.payloads(ctx, [task]))[task["task_id"]]
    assert "X-Amz-Signature" in payload["access"]["signed"]["s3://sim/0/x"]["get"]
    assert (await leases.held(ctx, task["task_id"], task["instance_id"]))["task_id"] == task["task_id"]
    with pytest.raises(NotFound, match="not that of its lease"):
        await leases.held(ctx, task["task_id"], "another")


async def test_files_that_need_nothing_cost_nothing(ctx: Context, make: Maker) -> None:
    task = await ready(ctx, make, {"type": "permanent", "remote": "file:/data/x", "local": "x"},
                       {"type": "job_temp", "movement": "output", "local": "y"})
    payload = (await scripts.payloads(ctx, [task]))[task["task_id"]]
    assert "access" not in payload
    assert [(need.scheme, need.movement) for need in needs_of(payload)] == [("file", "input"), ("", "output")]


# -- said before


async def site(ctx: Context, name: str, *schemes: str) -> None:
    await pilots.create(ctx, {"queue_host": "h", "queue_version": "1", "resources": {"cpu": 1}, "site": name,
                              "schemes": list(schemes)})


async def test_a_dry_run_says_which_site_can_move_what_with_which_credential(ctx: Context) -> None:
    await keep(ctx, S3, Owner("user", "alice"))
    await keep(ctx, TOKEN, Owner("group", "users"))
    await site(ctx, "A", "file", "s3", "gsiftp")
    await site(ctx, "B", "file", "s3")
    told = await preview(ctx, ALICE, config(
        {"type": "permanent", "remote": "gsiftp://g/x"}, {"type": "permanent", "remote": "s3://sim/x"},
        {"type": "permanent", "movement": "output", "remote": "https://data.example.org/o/$(job)"},
        {"type": "permanent", "remote": "https://www.example.org/x"},
        {"type": "job_temp", "movement": "both", "local": "t"}), 1,
        owner={"username": "alice", "group": "users"})
    assert told["valid"]
    rows = [(row["remote"], row["movement"], row["sites"], row["not_at"], row["credential"])
            for row in told["files"]]
    assert rows == [
        ("gsiftp://g/x", "input", ["A"], ["B"], "the site's own"),
        ("s3://sim/x", "input", ["A", "B"], [], "keys of user alice for https://s3.example.org"),
        ("https://data.example.org/o/0", "output", ["A", "B"], [],
         "token of group users for https://data.example.org/"),
        ("https://www.example.org/x", "input", ["A", "B"], [], "none"),
        ("", "both", ["A", "B"], [], "the site's own")]
    assert told["files"][2]["scope"] == "storage.modify:/o"


@pytest.mark.parametrize(("remote", "reason"), [
    ("gsiftp://g/x", "no site can move 'gsiftp://g/x'; they know dav, davs, file, http"),
    ("s3://other/x", "no stored credential covers the bucket 'other'"), ("s3://sim", "is no s3://bucket/key")])
async def test_what_cannot_be_moved_is_refused_at_submission(ctx: Context, remote: str, reason: str) -> None:
    await keep(ctx, S3, Owner("user", "alice"))
    await site(ctx, "A", "file")
    wrong = config({"type": "permanent", "remote": remote})
    with pytest.raises(BadRequest, match=reason):
        await checks.require(ctx, ALICE, wrong, 1, dataset={"username": "alice", "group": "users"})
    await checks.require(ctx, ALICE, wrong, 1, dataset={"username": "alice", "group": "users"}, lenient=True)


SHOWN = {"readable": ["/usr", "/data"], "writable": ["/out"]}


@pytest.mark.parametrize(("remote", "movement", "reason"), [
    ("file:///data/x", "input", ""), ("file:////data/x", "input", ""), ("/usr/x", "input", ""),
    ("file:///out/a/x", "both", ""),
    ("file:///data/x", "output", "tasks may not write 'file:///data/x' on any site"),
    ("file:///home/x", "input", "tasks may not read"), ("file:///database/x", "input", "tasks may not read"),
    ("file:///data/../home/x", "input", "tasks may not read"),
    ("/home/x", "input", "has to stand in the settings pilots.visible or pilots.writable")])
async def test_files_that_no_pilot_shows_to_tasks(ctx: Context, remote: str, movement: str,
                                                  reason: str) -> None:
    await pilots.create(ctx, {"queue_host": "h", "queue_version": "1", "resources": {"cpu": 1}, "site": "A",
                              "schemes": ["file"], "shown": SHOWN})
    found = await checks.findings(
        ctx, config({"type": "permanent", "movement": movement, "remote": remote, "local": "x"}), 1)
    assert [one.kind for one in found] == ([Kind.DOUBT] if reason else [])
    assert all(reason in one.problem for one in found)
    await site(ctx, "B", "file")  # its tasks see all
    assert not await checks.findings(
        ctx, config({"type": "permanent", "movement": movement, "remote": remote, "local": "x"}), 1)


async def test_no_site_that_says_anything_refuses_nothing(ctx: Context) -> None:
    await checks.require(ctx, ALICE, config({"type": "permanent", "remote": "gsiftp://g/x"}), 1)


@pytest.mark.parametrize(("field", "value"), [("checksum", "sha256=12"), ("checksum", "crc=0"), ("size", -1),
                                              ("size", "many")])
async def test_checksums_and_sizes_that_are_none(ctx: Context, field: str, value: Any) -> None:
    found = await checks.findings(ctx, config({"type": "permanent", "remote": "file:/x", field: value}), 1)
    assert [(one.path, one.kind) for one in found] == [(f"tasks[0].data[0].{field}", Kind.ERROR)]


async def test_why_tells_of_outputs_that_wait(ctx: Context, make: Maker) -> None:
    pilot_id = await pilots.create(ctx, {"queue_host": "h", "queue_version": "1", "resources": {"cpu": 1}})
    await make.task()
    task = (await leases.claim(ctx, Claim({"cpu": 1, "memory": 4.0}, pilot_id=pilot_id)))[0]
    await pilots.patch(ctx, pilot_id, {"outputs_waiting": {task["task_id"]: "HTTP 503"}})
    told = await explain(ctx, task["dataset_id"], task["task_id"])
    assert told["reason"].startswith("its programs are done, its outputs wait to be stored (HTTP 503) on")


async def test_why_tells_the_same_of_a_task(ctx: Context, make: Maker) -> None:
    await site(ctx, "A", "file")
    task = await ready(ctx, make, {"type": "permanent", "remote": "s3://sim/$(job)/x", "local": "x"})
    told = await explain(ctx, task["dataset_id"], task["task_id"])
    (row,) = told["files"]
    assert (row["remote"], row["sites"], row["credential"]) == ("s3://sim/0/x", ["A"], "none")
    assert row["problem"].startswith("no stored credential covers the bucket 'sim'")
