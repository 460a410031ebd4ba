"""Who may hear of what, whom they may mail, and for how long: with hostile users in mind."""

from __future__ import annotations

import json
import time

import msgspec
import pytest

from server.common.errors import BadRequest, Conflict, NotFound
from server.notifications import messages, owners, recipients, rules
from server.notifications.rules import Change, Wanted
from server.production.common import access
from server.rest.context import Context
from tests.support.notifications import dataset, owner, rule, run, visit, with_notify
from tests.support.notifications.receivers import mailbox, poster

HOOK = "https://hooks.example.org/T/B/very-secret"


async def test_others_datasets_are_not_told_unless_they_may_be_read(ctx: Context) -> None:
    with poster() as receiver:
        ctx = with_notify(ctx, hosts=(receiver.host,))
        await rule(ctx, await visit(ctx), receiver.url, filters={"own": False})
        public, secret = await dataset(ctx, "bob"), await dataset(ctx, "bob")
        await access.store_rules(ctx, secret, {"read_groups": ["admin"], "read_users": ["bob"]})
        await run(ctx)
        body, = [json.loads(post.body) for post in receiver.got]
        assert [item["facts"]["dataset_id"] for item in body["items"]] == [public]


async def test_only_what_is_ones_own_when_nothing_is_said(ctx: Context) -> None:
    with poster() as receiver:
        ctx = with_notify(ctx, hosts=(receiver.host,))
        await rule(ctx, await visit(ctx), receiver.url)
        await dataset(ctx, "bob")
        await dataset(ctx, "ada", "complete")
        await run(ctx)
        assert not receiver.got


@pytest.mark.parametrize(("event", "roles", "may"), [
    ("site_quarantined", ("user",), False), ("site_quarantined", ("admin",), True),
    ("alert_held", ("user",), False), ("dead_letter", ("user",), False), ("alert_held", ("system",), True),
    ("scan_final", ("user",), True), ("watched_request", ("user",), True),
])  # fmt: skip
async def test_who_may_make_which_rules(ctx: Context, event: str, roles: tuple[str, ...], may: bool) -> None:
    who = await visit(ctx, "ada", *roles)
    if may:
        await rule(ctx, who, HOOK, event)
    else:
        with pytest.raises(BadRequest, match=f"event: {event} is for"):
            await rule(ctx, who, HOOK, event)


async def test_rights_that_are_lost_end_what_is_told(ctx: Context) -> None:
    with poster() as receiver:
        ctx = with_notify(ctx, hosts=(receiver.host,))
        await rule(ctx, await visit(ctx, "ada", "user", groups=("icecube",)), receiver.url,
                   filters={"own": False})
        dataset_id = await dataset(ctx, "bob", group="icecube")
        await access.store_rules(ctx, dataset_id, {"read_groups": ["icecube"]})
        await visit(ctx, "ada", "user", groups=("users",))  # she left the group
        await run(ctx)
        assert not receiver.got


async def test_revoked_tokens_end_what_is_told(ctx: Context) -> None:
    with poster() as receiver:
        ctx = with_notify(ctx, hosts=(receiver.host,))
        await rule(ctx, await visit(ctx), receiver.url)
        await ctx.tokens.revocations.revoke_user("ada")
        assert "revoked" in await owners.why_asleep(ctx, await owner(ctx, "ada"))
        await dataset(ctx)
        await run(ctx)
        assert not receiver.got


async def test_revoked_tokens_also_stop_what_is_on_its_way(ctx: Context) -> None:
    with poster() as receiver:
        receiver.status = 500
        ctx = with_notify(ctx, hosts=(receiver.host,), retry_seconds=3600.0)
        await rule(ctx, await visit(ctx), receiver.url)
        await dataset(ctx)
        await run(ctx)
        await ctx.tokens.revocations.revoke_user("ada")
        await ctx.db.notification_outbox.update_many({}, {"$set": {"due": 0.0}})
        await run(ctx)
        one, = await messages.listed(ctx, "ada")
        assert one["state"] == "dead"
        assert "revoked" in one["outcome"]


async def test_who_is_away_for_long_is_told_nothing(ctx: Context) -> None:
    who = await visit(ctx)
    late = msgspec.structs.replace(who, seen=time.time() - 181 * 86400)
    assert not await owners.why_asleep(ctx, who)
    assert "180 days" in await owners.why_asleep(ctx, late)


async def test_without_a_mail_server_nobody_is_mailed(ctx: Context) -> None:
    with pytest.raises(BadRequest, match=r"notify\.smtp"):
        await rule(ctx, await visit(ctx), "ada@example.org", kind="email")


@pytest.mark.parametrize("address", [
    "", "ada", "ada@", "@example.org", "a b@example.org", "ada@example.org, bob@elsewhere.org",
    "ada@example.org\r\nBcc: bob@elsewhere.org", "<ada@example.org>", "Ada <ada@example.org>",
    '"a@elsewhere.org,b"@example.org', "ada@localhost", "ada@exämple.org", "ada@example.org\n",
    "ada@[127.0.0.1]",
    "a" * 250 + "@example.org", "ada@elsewhere.org@example.org", "ada%elsewhere.org@example.org.",
])  # fmt: skip
async def test_addresses_that_are_none(ctx: Context, address: str) -> None:
    ctx = with_notify(ctx, mail="127.0.0.1:25")
    with pytest.raises(BadRequest, match="is no mail address"):
        recipients.check(ctx, await visit(ctx), "email", address)


async def test_whom_one_may_mail(ctx: Context) -> None:
    allowed = ["*@example.org", "shift@elsewhere.org"]
    ctx = with_notify(ctx, mail="127.0.0.1:25", allowed_recipients=allowed)
    verified = await visit(ctx, "ada", email="Ada@Home.org", email_verified=True)
    claims = await visit(ctx, "eve", email="victim@home.org", email_verified=False)
    for address in ("anybody@EXAMPLE.org", "shift@elsewhere.org", "ada@home.org"):
        recipients.check(ctx, verified, "email", address)
    for who, address in ((claims, "victim@home.org"), (verified, "bob@home.org"),
                         (verified, "x@sub.example.org"), (verified, "x@notexample.org")):
        with pytest.raises(BadRequest, match=r"may not mail .*notify\.allowed_recipients"):
            recipients.check(ctx, who, "email", address)
    assert (await visit(ctx, "ada")).email == "Ada@Home.org", "a token that is silent takes nothing away"


async def test_an_address_that_is_allowed_no_more(ctx: Context) -> None:
    with mailbox() as box:
        ctx = with_notify(ctx, mail=box.address)
        await rule(ctx, await visit(ctx), "ada@example.org", kind="email")
        await dataset(ctx)
        await run(with_notify(ctx, mail=box.address, allowed_recipients=[]))
        one, = await messages.listed(ctx, "ada")
        assert (one["state"], box.got) == ("dead", [])
        assert "may not mail ada@example.org any more" in one["outcome"]


async def test_secrets_are_sealed_and_never_shown(ctx: Context) -> None:
    who = await visit(ctx)
    made, secret = await rules.add(ctx, who, Wanted("dataset_errors", "webhook", HOOK))
    assert secret.startswith("whsec_")
    stored = str(await ctx.db.notification_rules.find_one({}))
    for text in (stored, str(rules.shown(made)), repr(await rules.listed(ctx, None))):
        assert "very-secret" not in text
        assert secret not in text
    assert rules.shown(made)["address"] == "https://hooks.example.org/…"
    _, other = await rules.change(ctx, who, made, Change(secret=""))
    assert other not in ("", secret)
    _, none = await rules.change(ctx, who, made, Change(name="x"))
    assert not none


async def test_there_is_an_end_of_rules(ctx: Context) -> None:
    ctx = with_notify(ctx, rules_per_user=3)
    who = await visit(ctx)
    made = [await rule(ctx, who, HOOK) for _ in range(3)]
    with pytest.raises(Conflict, match="3 rules already"):
        await rule(ctx, who, HOOK)
    await rules.remove(ctx, made[1])
    await rule(ctx, who, HOOK)
    await rule(ctx, await visit(ctx, "bob"), HOOK)


@pytest.mark.parametrize(("wrong", "says"), [
    ({"event": "nothing"}, "event"), ({"kind": "fax"}, "kind"), ({"address": "http://10.0.0.1/"}, "address"),
    ({"pause_minutes": -1}, "pause_minutes"), ({"pause_minutes": 1e9}, "pause_minutes"),
    ({"name": "x" * 101}, "name"), ({"name": "a\nb"}, "name"), ({"secret": "x"}, "secret"),
    ({"filters": {"streams": ["x"]}}, "filters.streams"), ({"more": 1}, "more"),
    ({"is_active": "yes"}, "is_active"),
    ({"kind": "slack", "secret": "whsec_" + "A" * 44}, "secret"),
])  # fmt: skip
async def test_rules_that_are_refused(ctx: Context, wrong: dict[str, object], says: str) -> None:
    who = await visit(ctx)
    with pytest.raises(BadRequest, match=says):
        await rule(ctx, who, **{"address": HOOK, **wrong})  # type: ignore[arg-type]
    assert await rules.listed(ctx, None) == [], "nothing half-written"


async def test_changes(ctx: Context) -> None:
    who = await visit(ctx)
    made = await rule(ctx, who, HOOK)
    off, _ = await rules.change(ctx, who, made, Change(is_active=False, name="n", pause_minutes=7))
    assert off == await rules.find(ctx, made.rule_id)
    assert (off.is_active, off.name, off.pause_minutes, off.since) == (False, "n", 7, made.since)
    on, _ = await rules.change(ctx, who, off, Change(is_active=True))
    assert on.since > made.since, "what happened meanwhile is not told"
    with pytest.raises(BadRequest, match="address"):
        await rules.change(ctx, who, on, Change(address="https://127.0.0.1/"))
    with pytest.raises(NotFound):
        await rules.find(ctx, made.rule_id, "bob")
