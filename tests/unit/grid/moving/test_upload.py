"""Uploads: compared with what storage has afterwards, and tried again by themselves."""

from __future__ import annotations

import base64
import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from grid.moving.errors import NoMeans, TransferFailed
from grid.moving.here import Here
from grid.moving.items import Means
from grid.moving.steps import check
from server.production.failures.failures import find_rule
from tests.support.storage.web import Storage, cut, redirect, stalls, status
from tests.unit.grid.moving.conftest import fetch, made, place, store, wanted

DATA = random.Random(1).randbytes(700_000)


@pytest.fixture(autouse=True)
def _file(here: Here) -> None:
    (here.directory / "file").write_bytes(DATA)


def test_storage_has_the_whole_file_with_its_checksum(storage: Storage, here: Here) -> None:
    assert store(here, made(f"{storage.url}/o/x")) == []
    assert storage.files["/o/x"] == DATA
    assert storage.methods() == ["PUT", "HEAD"]
    md5 = base64.b64encode(hashlib.md5(DATA).digest()).decode()
    assert storage.asked[0].headers["Content-MD5"] == md5
    assert (here.stored.files, here.stored.moved, here.stored.retries) == (1, len(DATA), 0)


@pytest.mark.parametrize("fault", [status(503), status(429, Retry_After="7"), cut(1000), stalls(1000)])
def test_only_what_failed_is_stored_again(storage: Storage, hasty: Here, fault: object) -> None:
    (hasty.directory / "first").write_bytes(b"1")
    storage.faults["PUT", "/o/x"] = [fault, status(500)]  # type: ignore[list-item]
    pauses = store(hasty, made(f"{storage.url}/o/first", "first"), made(f"{storage.url}/o/x"))
    assert len(pauses) == 2
    assert storage.files == {"/o/first": b"1", "/o/x": DATA}
    assert [one.path for one in storage.asked if one.method == "PUT"] == ["/o/first"] + 3 * ["/o/x"]
    assert hasty.stored.retries == 2


def test_a_copy_that_is_not_whole_is_no_success(storage: Storage, here: Here) -> None:
    storage.mangle = lambda data: data[:-1]
    assert len(store(here, made(f"{storage.url}/o/x"), tries=3)) == 3
    storage.mangle = lambda data: data
    assert store(here, made(f"{storage.url}/o/x")) == []


def test_a_broken_copy_is_found_by_its_digest(here: Here, make_storage: Callable[..., Storage]) -> None:
    storage = make_storage(digests=True)
    storage.mangle = lambda data: b"?" + data[1:]
    assert len(store(here, made(f"{storage.url}/o/x"), tries=2)) == 2


def test_storage_that_cannot_tell_is_believed(here: Here, make_storage: Callable[..., Storage]) -> None:
    storage = make_storage(head=False)
    assert store(here, made(f"{storage.url}/o/x")) == []


@pytest.mark.parametrize(("code", "tries"), [(401, 4), (403, 4), (404, 1), (405, 1), (409, 1)])
def test_what_storage_does_not_take_is_said(storage: Storage, here: Here, code: int, tries: int) -> None:
    storage.always["PUT", "/o/x"] = status(code)
    with pytest.raises(TransferFailed, match=f"transfer failure: output http.*: HTTP {code}"):
        store(here, made(f"{storage.url}/o/x"))
    assert len(storage.asked) == tries


def test_what_the_program_did_not_make(storage: Storage, here: Here) -> None:
    store(here, made(f"{storage.url}/o/x", "none", maybe=True))
    with pytest.raises(TransferFailed, match="No such file") as error:
        store(here, made(f"{storage.url}/o/x", "none"))
    assert find_rule(str(error.value)).name == "missing file"
    assert not storage.asked


def test_a_redirected_upload_goes_there(here: Here, make_storage: Callable[..., Storage]) -> None:
    door, disk = make_storage(), make_storage()
    door.faults["PUT", "/o/x"] = [redirect(f"{disk.url}/o/x")]
    door.always["HEAD", "/o/x"] = redirect(f"{disk.url}/o/x")
    assert store(here, made(f"{door.url}/o/x")) == []
    assert disk.files["/o/x"] == DATA


def test_webdav_renames(storage: Storage, here: Here) -> None:
    storage.faults["PUT", "/o/x.part"] = [cut(500)]
    remote = storage.url.replace("http", "dav") + "/o/x"
    assert len(store(here, made(remote))) == 1
    assert storage.methods() == ["PUT", "PUT", "HEAD", "MOVE"]
    assert storage.files == {"/o/x": DATA}
    fetch(here, wanted(remote, "back"))
    assert (here.directory / "back").read_bytes() == DATA


def test_webdav_makes_folders(storage: Storage, here: Here) -> None:
    storage.faults["PUT", "/a/b/x.part"] = [status(409)]
    assert store(here, made(storage.url.replace("http", "dav") + "/a/b/x")) == []
    assert storage.files == {"/a/b/x": DATA}
    assert [one.path for one in storage.asked if one.method == "MKCOL"] == ["/a/", "/a/b/"]
    storage.always["PUT", "/a/b/y.part"] = status(409)
    with pytest.raises(TransferFailed, match="HTTP 409"):
        store(here, made(storage.url.replace("http", "dav") + "/a/b/y"))


def test_files_of_this_machine_appear_whole(here: Here, tmp_path: Path) -> None:
    store(here, made(f"file:{tmp_path}/store/x"), made(f"{tmp_path}/store/y"))
    assert {name: (tmp_path / "store" / name).read_bytes() for name in os.listdir(tmp_path / "store")} == {
        "x": DATA, "y": DATA}
    fetch(here, wanted(f"file:{tmp_path}/store/x", "in", size=len(DATA)))
    with pytest.raises(TransferFailed, match="declared were 5"):
        fetch(here, wanted(f"file:{tmp_path}/store/x", "in", size=5))


def test_a_sites_command_gets_a_token_in_a_file(tmp_path: Path) -> None:
    seen: list[list[str]] = []

    def run(argv: list[str]) -> str:
        seen.append([*argv[:-1], Path(argv[-1]).read_text()])
        Path(argv[2]).write_bytes(b"1")
        return ""

    means = Means({"root": "xrdcp {source} {target} --token {token}"})
    there = place(tmp_path / "w", means, tokens=[{"prefix": "root://s/", "token": "T", "expires": 0}])
    there.run = run
    fetch(there, wanted("root://s//x"))
    assert seen == [["xrdcp", "root://s//x", str(there.directory / ".file.part"), "--token", "T"]]
    assert (there.directory / "file").read_bytes() == b"1"


def test_what_nobody_can_move_is_said_before_anything_is(here: Here) -> None:
    with pytest.raises(NoMeans, match=r"no command to transfer 'gsiftp://x/y'; it knows dav, davs, file"):
        check([made("gsiftp://x/y")], here)
    here.lent.ask = None
    with pytest.raises(NoMeans, match="no server that signs"):
        check([wanted("s3://b/k")], here)
