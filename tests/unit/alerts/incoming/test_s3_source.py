"""A prefix of a real S3 server as source: taken once, in order, never deleted unasked; and its bad days."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.alerts import AlertSource
from config.settings import SettingsError, load
from server.alerts.common import alerts
from server.alerts.common.alerts import Alert, Search
from server.alerts.incoming import buckets, s3_source
from server.alerts.incoming.buckets import ListingError, read_listing
from server.alerts.incoming.s3_source import S3Source
from server.alerts.incoming.sources import listen_once
from server.rest.context import Context
from tests.support.api import free_port
from tests.support.storage.s3 import Bucket, bucket


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with bucket(tmp_path_factory.mktemp("s3")) as running:
        yield running


def put(server: Bucket, key: str, data: bytes, age: float = 100.0) -> Path:
    file = server.folder / key
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    os.utime(file, (time.time() - age, time.time() - age))
    return file


def source(ctx: Context, server: Bucket, prefix: str, **changes: Any) -> S3Source:
    """The source under a prefix of its own, which looks whenever it is asked."""
    settings = {"kind": "s3", "address": f"s3://{server.name}/{prefix}", "endpoint": server.endpoint,
                "access_key": server.access_key, "secret_key": server.secret_key, "look_seconds": 1e-6}
    return S3Source(ctx, "cloud", AlertSource(**settings | changes))


async def taken(ctx: Context) -> list[Alert]:
    return list(reversed(await alerts.listed(ctx, Search(), 0, 100)))


async def test_each_object_is_taken_once(ctx: Context, server: Bucket) -> None:
    new = put(server, "once/b ü+&.json", b'{"n": 2}', 50)
    put(server, "once/deep/a.json", b'{"n": 1}', 90)
    put(server, "once/empty.json", b"")
    put(server, "other/x.json", b'{"n": 3}')
    here = source(ctx, server, "once/", stream="night")
    assert await listen_once(ctx, "cloud", here) == 2
    places = [(one.stream, one.origins[0].place) for one in await taken(ctx)]
    assert places == [("night", "once/deep/a.json"), ("night", "once/b ü+&.json")]
    assert await listen_once(ctx, "cloud", here) == 0
    await here.close()
    again = source(ctx, server, "once/", stream="night")  # after a restart
    assert await listen_once(ctx, "cloud", again) == 0
    assert new.exists(), "other people's buckets stay as they are"
    put(server, "once/b ü+&.json", b'{"n": 22}')
    assert await listen_once(ctx, "cloud", again) == 1, "other bytes under a key are another message"
    await again.close()


async def test_what_is_not_stored_comes_again(ctx: Context, server: Bucket) -> None:
    put(server, "crash/a.json", b'{"a": 1}')
    here = source(ctx, server, "crash/")
    assert len(await here.poll(0.0)) == 1  # then the process died
    await here.close()
    here = source(ctx, server, "crash/")
    assert await listen_once(ctx, "cloud", here) == 1
    await here.close()


async def test_taken_objects_are_deleted_only_when_that_is_wanted(ctx: Context, server: Bucket) -> None:
    file = put(server, "mine/a.json", b'{"a": 2}')
    here = source(ctx, server, "mine/", delete_taken=True)
    assert await listen_once(ctx, "cloud", here) == 1
    assert file.exists(), "it is deleted after it is remembered, not before"
    assert await listen_once(ctx, "cloud", here) == 0
    assert not file.exists()
    assert await ctx.db.alert_objects.count_documents({}) == 0
    await here.close()


async def test_more_than_one_page_and_more_than_one_round(
        ctx: Context, server: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3_source, "AT_ONCE", 2)
    for number in range(5):
        put(server, f"many/{number}.json", b'{"many": %d}' % number, 50 - number)
    here = source(ctx, server, "many/", look_seconds=3600.0)
    assert [await listen_once(ctx, "cloud", here, 0.0) for _ in range(4)] == [2, 2, 1, 0]
    assert [one.origins[0].place[-6] for one in await taken(ctx)] == list("01234")
    await here.close()


async def test_one_bad_object_stands_in_no_others_way(
        ctx: Context, server: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    put(server, "bad/huge.json", b"x" * 2000)
    put(server, "bad/good.json", b'{"good": 1}')
    put(server, "bad/locked.json", b'{"locked": 1}')
    read = buckets.Bucket.read

    async def refused(self: buckets.Bucket, key: str) -> bytes:
        return await read(self, key if "locked" not in key else "bad/nowhere.json")

    monkeypatch.setattr(buckets.Bucket, "read", refused)
    monkeypatch.setattr(s3_source, "MOST_BYTES", 1000)
    here = source(ctx, server, "bad/")
    assert await listen_once(ctx, "cloud", here) == 1
    assert "huge.json" in here.trouble
    assert "HTTP 404 NoSuchKey" in here.trouble
    noted = await ctx.db.alert_sources.find_one({"_id": "cloud"})
    assert "huge.json" in noted["error"], "the page says it"
    await here.close()


@pytest.mark.parametrize(("changes", "says"), [
    ({"secret_key": "wrong"}, "HTTP 403 SignatureDoesNotMatch: secret_key is wrong"),
    ({"access_key": "AKWRONG"}, "HTTP 403"),
    ({"access_key": "", "secret_key": ""}, "HTTP 400 UnsupportedAlgorithm"),
    ({"address": "s3://nowhere/x"}, "'nowhere': HTTP 404 NoSuchBucket: there is no such bucket"),
    ({"endpoint": f"http://127.0.0.1:{free_port()}"}, "127.0.0.1"),
])  # fmt: skip
async def test_what_is_wrong_is_told_without_secrets(
        ctx: Context, server: Bucket, changes: dict[str, str], says: str) -> None:
    here = source(ctx, server, "", **changes)
    with pytest.raises(OSError, match=r".") as error:
        await here.poll(0.0)
    assert says in str(error.value)
    assert server.secret_key not in str(error.value)
    assert "X-Amz" not in str(error.value)
    await here.close()


PAGE = (b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>true</IsTruncated>'
        b"<NextContinuationToken>t&amp;1</NextContinuationToken><Contents><Key>a b</Key><Size>3</Size>"
        b'<ETag>"e"</ETag><LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents></ListBucketResult>')


def test_a_listing() -> None:
    page = read_listing(PAGE)
    assert page.more == "t&1"
    assert [(one.key, one.size, one.etag) for one in page.objects] == [("a b", 3, "e")]


@pytest.mark.parametrize(("data", "says"), [
    (b"", "well formed"), (b"<html/>", "not a ListBucketResult"), (b"<!DOCTYPE x><a/>", "entities"),
    (PAGE.replace(b"<Size>3", b"<Size>-3"), "size"), (PAGE.replace(b"<Key>a b</Key>", b""), "key"),
])  # fmt: skip
def test_no_listings(data: bytes, says: str) -> None:
    with pytest.raises(ListingError, match=says):
        read_listing(data)


@given(st.binary(max_size=50) | st.integers(0, len(PAGE)).flatmap(
    lambda at: st.binary(max_size=8).map(lambda new: PAGE[:at] + new + PAGE[at + len(new):])))
def test_any_answer_is_a_listing_or_refused(data: bytes) -> None:
    with contextlib.suppress(ListingError):
        assert all(one.key and one.size >= 0 for one in read_listing(data).objects)


@pytest.mark.parametrize(("settings", "says"), [
    ("kind: s3, address: s3://b", "endpoint"), ("kind: s3, address: b/c, endpoint: https://x", "address"),
    ("kind: s3, address: s3://b, endpoint: https://x, access_key: a", "both or none"),
    ("kind: s3, address: s3://b, endpoint: https://x, look_seconds: 0", "look_seconds"),
    ("kind: folder, address: /x, delete_taken: true", "only a source of kind s3"),
])  # fmt: skip
def test_settings_that_are_refused(settings: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(f"alerts: {{sources: {{one: {{{settings}}}}}}}")
    with pytest.raises(SettingsError, match=says):
        load(file, {})
