"""Signed addresses: as Amazon's documentation computes them, and as a real S3 server takes them."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from grid.moving.cache import Cache
from grid.moving.errors import TransferFailed
from server.production.transfers.s3 import LONGEST_SECONDS, Keys, address, bucket_of, presigned
from tests.support.storage.s3 import Bucket, bucket
from tests.unit.grid.moving.conftest import fetch, made, place, store, wanted

DATA = os.urandom(2_000_000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bucket]:
    with bucket(tmp_path_factory.mktemp("s3")) as running:
        yield running


def signed(server: Bucket, key: str, seconds: int = 600, moment: datetime | None = None) -> dict[str, object]:
    keys = Keys(server.endpoint, server.access_key, server.secret_key)
    at = moment or datetime.now(UTC)
    return {name: presigned(keys, name.upper(), server.name, key, at, seconds)
            for name in ("get", "put", "head")} | {"expires": 0}


def test_the_example_of_amazons_documentation() -> None:
    keys = Keys("https://{bucket}.s3.amazonaws.com", "AKIAIOSFODNN7EXAMPLE",
                "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    made = presigned(keys, "GET", "examplebucket", "test.txt", datetime(2013, 5, 24, tzinfo=UTC), 86400)
    assert made.startswith("https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256")
    signature = parse_qs(urlsplit(made).query)["X-Amz-Signature"]
    assert signature == ["aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"]


def test_no_address_lives_longer_than_amazon_allows() -> None:
    made = presigned(Keys("https://s", "a", "b"), "GET", "b", "k", datetime.now(UTC), 10**9)
    assert parse_qs(urlsplit(made).query)["X-Amz-Expires"] == [str(LONGEST_SECONDS)]
    assert bucket_of("s3://b/k/x y") == ("b", "k/x y")


@pytest.mark.parametrize("key", ["x.i3", "sim/a b/ü+=&%.i3"])
def test_a_file_goes_there_and_back(server: Bucket, tmp_path: Path, key: str) -> None:
    remote = f"s3://{server.name}/{key}"
    here = place(tmp_path / "w", patience=30.0, signed={remote: signed(server, key)})
    (here.directory / "file").write_bytes(DATA)
    assert store(here, made(remote)) == []
    assert (server.folder / key).read_bytes() == DATA
    fetch(here, wanted(remote, "back", checksum=hashlib.sha256(DATA).hexdigest()))
    assert (here.directory / "back").read_bytes() == DATA


def test_a_second_task_takes_it_from_the_cache(server: Bucket, tmp_path: Path) -> None:
    (server.folder / "common").write_bytes(DATA)
    remote, cache = f"s3://{server.name}/common", Cache(tmp_path / "cache", 100_000_000)
    for name in "ab":
        here = place(tmp_path / name, cache=cache, patience=30.0, signed={remote: signed(server, "common")})
        fetch(here, wanted(remote))
        assert (here.directory / "file").read_bytes() == DATA
    assert (here.fetched.cached, here.fetched.moved) == (1, 0)


def test_an_address_is_good_for_its_object_for_its_time_and_signed_by_its_keys(
        server: Bucket, tmp_path: Path) -> None:
    (server.folder / "one").write_bytes(DATA)
    (server.folder / "two").write_bytes(DATA)
    for told in (signed(server, "one", 60, datetime.now(UTC) - timedelta(hours=1)),
                 signed(replace(server, secret_key="wrong"), "one"),
                 {name: str(told).replace("/one?", "/two?") for name, told in
                  signed(server, "one").items()}):
        remote = f"s3://{server.name}/one"
        with pytest.raises(TransferFailed, match=r"HTTP 40[03]"):
            fetch(place(tmp_path / "w", patience=30.0, signed={remote: told}), wanted(remote))


def test_one_that_is_about_to_end_is_renewed(server: Bucket, tmp_path: Path) -> None:
    (server.folder / "late").write_bytes(DATA)
    remote = f"s3://{server.name}/late"
    old = {"get": f"{server.endpoint}/old", "expires": 1.0}
    here = place(tmp_path / "w", patience=30.0, signed={remote: old})
    here.lent.ask = lambda: {"signed": {remote: signed(server, "late")}}
    fetch(here, wanted(remote))
    assert (here.directory / "file").read_bytes() == DATA


def test_a_request_to_the_bucket_itself(server: Bucket) -> None:
    (server.folder / "list me").write_bytes(b"x")
    keys = Keys(server.endpoint, server.access_key, server.secret_key)
    more = {"list-type": "2", "prefix": "list "}
    told = presigned(keys, "GET", server.name, "", datetime.now(UTC), 60, more)
    with urllib.request.urlopen(told) as answer:
        assert b"<Key>list me</Key>" in answer.read()


def test_an_address_without_a_signature() -> None:
    keys = Keys("https://{bucket}.s3.example.org", "", "")
    assert address(keys, "b", "k/x y", {"b": "2", "a": "1 "}) == "https://b.s3.example.org/k/x%20y?a=1%20&b=2"
    assert address(Keys("https://s3.example.org/", "", ""), "b", "") == "https://s3.example.org/b/"
