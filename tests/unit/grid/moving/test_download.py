"""Downloads on bad days: cut, stalled, lied about, refused; whole and checked, or not there at all."""

from __future__ import annotations

import hashlib
import http.client
import os
import random
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from grid.moving import checksums
from grid.moving.errors import CannotTransfer, TransferFailed
from grid.moving.here import Here
from server.production.failures.failures import find_rule
from tests.support.storage.web import Storage, cut, lies, redirect, stalls, status
from tests.unit.grid.moving.conftest import fetch, place, wanted

DATA = random.Random(1).randbytes(1_000_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture(autouse=True)
def _data(storage: Storage) -> None:
    storage.files["/d/x"] = DATA


def nothing_is_there(here: Here) -> bool:
    return not (here.directory / "file").exists()


def test_a_cut_download_goes_on_where_it_was_cut(storage: Storage, here: Here) -> None:
    storage.faults["GET", "/d/x"] = [cut(400_000), cut(300_000)]
    pauses = fetch(here, wanted(f"{storage.url}/d/x"))
    assert (here.directory / "file").read_bytes() == DATA
    assert [one.headers.get("Range") for one in storage.asked] == [None, "bytes=400000-", "bytes=700000-"]
    assert here.fetched.moved == len(DATA)  # nothing twice
    assert (here.fetched.files, here.fetched.retries) == (1, 2)
    assert pauses == [1.0, 2.0]


def test_where_the_server_knows_no_ranges_it_begins_anew(here: Here,
                                                         make_storage: Callable[..., Storage]) -> None:
    storage = make_storage(ranges=False)
    storage.files["/d/x"] = DATA
    storage.faults["GET", "/d/x"] = [cut(400_000)]
    fetch(here, wanted(f"{storage.url}/d/x"))
    assert (here.directory / "file").read_bytes() == DATA
    assert here.fetched.moved == len(DATA) + 400_000


def test_a_file_that_changed_meanwhile_is_not_mixed(storage: Storage, here: Here) -> None:
    storage.faults["GET", "/d/x"] = [cut(400_000)]
    other = os.urandom(900_000)

    def change(seconds: float) -> None:
        storage.files["/d/x"] = other

    from grid.moving import steps
    steps.fetch([wanted(f"{storage.url}/d/x")], here, change)
    assert (here.directory / "file").read_bytes() == other


def test_a_download_that_stays_cut_is_no_file(storage: Storage, here: Here) -> None:
    storage.always["GET", "/d/x"] = cut(100)
    with pytest.raises(TransferFailed, match=r"closed connection after 500 of 1000000 bytes") as error:
        fetch(here, wanted(f"{storage.url}/d/x"))
    assert nothing_is_there(here)
    assert find_rule(str(error.value)).name == "outside"


def test_a_stall_is_ended(storage: Storage, hasty: Here) -> None:
    storage.faults["GET", "/d/x"] = [stalls(400_000)]
    fetch(hasty, wanted(f"{storage.url}/d/x"))
    assert (hasty.directory / "file").read_bytes() == DATA
    storage.always["GET", "/d/x"] = stalls(0)
    with pytest.raises(TransferFailed, match="timed out, after 0 of 1000000 bytes") as error:
        fetch(hasty, wanted(f"{storage.url}/d/x", "other"))
    assert find_rule(str(error.value)).name == "outside"


def test_a_length_that_is_too_long_is_no_whole_file(storage: Storage, here: Here) -> None:
    storage.always["GET", "/d/x"] = lies(1_000_001)
    with pytest.raises(TransferFailed, match=r"of 1000001 bytes|another part"):
        fetch(here, wanted(f"{storage.url}/d/x"))
    assert nothing_is_there(here)


def test_a_length_that_is_too_short_is_found_by_what_was_declared(storage: Storage, here: Here) -> None:
    storage.always["GET", "/d/x"] = lies(999_999)
    with pytest.raises(TransferFailed, match="it has 999999 bytes, declared were 1000000"):
        fetch(here, wanted(f"{storage.url}/d/x", size=1_000_000))
    with pytest.raises(TransferFailed, match=f"declared was {SHA256}"):
        fetch(here, wanted(f"{storage.url}/d/x", checksum=f"sha256={SHA256}"))
    assert nothing_is_there(here)


def test_a_length_that_is_too_short_is_found_by_the_servers_digest(
        here: Here, make_storage: Callable[..., Storage]) -> None:
    storage = make_storage(digests=True)
    storage.files["/d/x"] = DATA
    storage.always["GET", "/d/x"] = lies(999_999)
    with pytest.raises(TransferFailed, match=f"its sha256 is .*, the server says {SHA256}"):
        fetch(here, wanted(f"{storage.url}/d/x"))
    assert nothing_is_there(here)


@pytest.mark.parametrize(("code", "tries"), [(401, 2), (403, 2), (404, 1), (410, 1), (429, 5), (503, 5),
                                             (500, 5), (501, 1)])
def test_what_is_tried_again(storage: Storage, here: Here, code: int, tries: int) -> None:
    storage.always["GET", "/d/x"] = status(code)
    with pytest.raises(TransferFailed, match=f"HTTP {code}"):
        fetch(here, wanted(f"{storage.url}/d/x"))
    assert len(storage.asked) == tries


def test_the_server_says_when_to_come_back(storage: Storage, here: Here) -> None:
    storage.faults["GET", "/d/x"] = [status(429, Retry_After="30"), status(503, Retry_After="100000")]
    assert fetch(here, wanted(f"{storage.url}/d/x")) == [30.0, 600.0]


def test_what_may_be_missing_may(storage: Storage, here: Here) -> None:
    fetch(here, wanted(f"{storage.url}/none", maybe=True))
    with pytest.raises(TransferFailed, match="HTTP 404") as error:
        fetch(here, wanted(f"{storage.url}/none"))
    assert find_rule(str(error.value)).name == "missing file"


@pytest.mark.parametrize("checksum", [f"sha256={SHA256}", SHA256, f"adler32:{zlib.adler32(DATA):x}",
                                      f"md5={hashlib.md5(DATA).hexdigest()}"])
def test_checksums_of_many_kinds(storage: Storage, here: Here, checksum: str) -> None:
    fetch(here, wanted(f"{storage.url}/d/x", checksum=checksum))
    assert (here.directory / "file").read_bytes() == DATA


def test_a_declared_checksum_that_is_wrong_ends_by_the_rule_of_hopeless_ones(
        storage: Storage, here: Here) -> None:
    with pytest.raises(TransferFailed) as error:
        fetch(here, wanted(f"{storage.url}/d/x", checksum="adler32=00000001"))
    assert find_rule(str(error.value)).name == "missing file"


def test_a_manifest_has_the_checksums_of_many(storage: Storage, here: Here) -> None:
    storage.files["/d/SUMS"] = f"{SHA256}  ./x\n{'0' * 64}  d/y\n".encode()
    storage.files["/d/y"] = b"other"
    manifest = f"{storage.url}/d/SUMS"
    fetch(here, wanted(f"{storage.url}/d/x", manifest=manifest))
    with pytest.raises(TransferFailed, match="declared was 000"):
        fetch(here, wanted(f"{storage.url}/d/y", "y", manifest=manifest))
    with pytest.raises(CannotTransfer, match="does not name it"):
        fetch(here, wanted(f"{storage.url}/d/z", "z", manifest=manifest))
    assert sorted(os.listdir(here.directory)) == ["file"]


def test_without_a_length_nothing_is_believed(here: Here, monkeypatch: pytest.MonkeyPatch,
                                              storage: Storage) -> None:
    storage.faults["GET", "/d/x"] = []
    original = http.client.HTTPResponse.begin

    def no_length(answer: http.client.HTTPResponse) -> None:
        original(answer)
        answer.length = None

    monkeypatch.setattr(http.client.HTTPResponse, "begin", no_length)
    with pytest.raises(TransferFailed, match="declare its size or checksum"):
        fetch(here, wanted(f"{storage.url}/d/x"))
    fetch(here, wanted(f"{storage.url}/d/x", size=len(DATA)))


def test_a_token_goes_to_its_host_alone(here: Here, tmp_path: Path,
                                        make_storage: Callable[..., Storage]) -> None:
    first, second = make_storage(token="secret"), make_storage()
    first.files["/d/x"] = second.files["/x"] = DATA
    there = place(tmp_path / "there", tokens=[{"prefix": f"{first.url}/d", "token": "secret", "expires": 0}])
    fetch(there, wanted(f"{first.url}/d/x"))
    assert first.asked[0].headers["Authorization"] == "Bearer secret"
    first.faults["GET", "/d/x"] = [redirect(f"{second.url}/x", 302)]
    fetch(there, wanted(f"{first.url}/d/x", "again"))
    assert "Authorization" not in second.asked[0].headers
    with pytest.raises(TransferFailed, match="HTTP 401"):
        fetch(there, wanted(f"{first.url}/dx", "no"))  # not below the folder that the token is for


def test_a_refused_token_is_asked_for_anew(tmp_path: Path, make_storage: Callable[..., Storage]) -> None:
    storage = make_storage(token="new")
    storage.files["/x"] = DATA
    there = place(tmp_path / "w", tokens=[{"prefix": storage.url, "token": "old", "expires": 0}])
    there.lent.ask = lambda: {"tokens": [{"prefix": storage.url, "token": "new", "expires": 0}]}
    fetch(there, wanted(f"{storage.url}/x"))
    assert there.fetched.retries == 1


def test_the_environments_proxy_is_used(storage: Storage, here: Here,
                                        monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", storage.url.replace("http://", "http://us:secret@"))
    monkeypatch.setenv("no_proxy", "")
    storage.files["http://far.example.org/x"] = DATA
    fetch(here, wanted("http://far.example.org/x"))
    assert storage.asked[0].headers["Host"] == "far.example.org"
    assert storage.asked[0].headers["Proxy-Authorization"] == "Basic dXM6c2VjcmV0"
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    fetch(here, wanted(f"{storage.url}/d/x", "near"))
    assert storage.asked[1].path == "/d/x"


def test_redirects_end(storage: Storage, here: Here) -> None:
    storage.always["GET", "/d/x"] = redirect(f"{storage.url}/d/x")
    with pytest.raises(TransferFailed, match="redirected more than 8 times"):
        fetch(here, wanted(f"{storage.url}/d/x"))


def test_more_than_the_task_may_use_is_not_fetched(storage: Storage, here: Here) -> None:
    here.most = 1000.0
    with pytest.raises(TransferFailed, match="disk limit") as error:
        fetch(here, wanted(f"{storage.url}/d/x"))
    assert find_rule(str(error.value)).name == "disk"
    assert here.fetched.moved == 0


def test_headers_that_tell_checksums() -> None:
    headers = http.client.HTTPMessage()
    headers["Digest"] = "adler32=1f2,sha-256=" + "0" * 64 + ",unknown=7"
    headers["Content-MD5"] = "1B2M2Y8AsgTpgAmY7PhCfg=="
    headers["ETag"] = '"d41d8cd98f00b204e9800998ecf8427e"'
    found = [(one.kind, one.value) for one in checksums.of_headers(headers)]
    empty = ("md5", "d41d8cd98f00b204e9800998ecf8427e")
    assert found == [("adler32", "000001f2"), ("sha256", "0" * 64), empty]
    assert [(one.kind, one.value) for one in checksums.of_headers(headers, is_part=True, is_s3=True)] == [
        *found[:2], empty]
    headers["x-amz-server-side-encryption"] = "aws:kms"
    assert empty not in [(one.kind, one.value)
                         for one in checksums.of_headers(headers, is_part=True, is_s3=True)]
