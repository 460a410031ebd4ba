"""Inputs that tasks have in common are fetched once, by whoever comes first, while they are the same."""

from __future__ import annotations

import hashlib
import os
import random
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from grid.moving.cache import Cache, key_of
from grid.moving.errors import Stopped, TransferFailed
from tests.support.storage.web import Storage, cut
from tests.unit.grid.moving.conftest import fetch, place, wanted

DATA = random.Random(1).randbytes(300_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", 1_000_000)


@pytest.fixture(autouse=True)
def _data(storage: Storage) -> None:
    storage.files["/x"] = DATA


def sent(storage: Storage) -> int:
    """How often the whole file may have been sent."""
    return sum("If-None-Match" not in one.headers and "Range" not in one.headers for one in storage.asked)


def test_five_hundred_tasks_with_one_background_file_fetch_it_once(
        storage: Storage, cache: Cache, tmp_path: Path) -> None:
    moved = []

    def task(number: int) -> None:
        for turn in range(number, 500, 10):
            there = place(tmp_path / f"t{turn}", cache=Cache(cache.directory, cache.most))
            fetch(there, wanted(f"{storage.url}/x"))
            assert (there.directory / "file").read_bytes() == DATA
            (there.directory / "file").unlink()
            moved.append(there.fetched.moved)

    threads = [threading.Thread(target=task, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(moved), sum(moved), sent(storage)) == (500, len(DATA), 1)


def test_a_declared_checksum_asks_nobody(storage: Storage, cache: Cache, tmp_path: Path) -> None:
    for number in range(3):
        there = place(tmp_path / f"t{number}", cache=cache)
        fetch(there, wanted(f"{storage.url}/x", checksum=SHA256))
        assert there.fetched.cached == (number > 0)
    assert len(storage.asked) == 1


def test_what_needs_a_credential_is_asked_for_with_it(make_storage: Callable[..., Storage], cache: Cache,
                                                      tmp_path: Path) -> None:
    storage = make_storage(token="T")
    storage.files["/x"] = DATA
    tokens = [{"prefix": storage.url, "token": "T", "expires": 0}]
    item = wanted(f"{storage.url}/x")
    fetch(place(tmp_path / "a", cache=cache, tokens=tokens), item)
    again = place(tmp_path / "b", cache=cache, tokens=tokens)
    fetch(again, item)
    assert (again.fetched.cached, again.fetched.moved) == (1, 0)
    with pytest.raises(TransferFailed, match="HTTP 401"):
        fetch(place(tmp_path / "c", cache=cache), item)
    stranger = place(tmp_path / "d", cache=cache, tokens=[{**tokens[0], "token": "other"}])
    with pytest.raises(TransferFailed, match="HTTP 401"):
        fetch(stranger, wanted(f"{storage.url}/x", checksum=SHA256))


def test_a_file_that_changed_is_fetched_anew(storage: Storage, cache: Cache, tmp_path: Path) -> None:
    fetch(place(tmp_path / "a", cache=cache), wanted(f"{storage.url}/x"))
    storage.files["/x"] = b"changed"
    there = place(tmp_path / "b", cache=cache)
    fetch(there, wanted(f"{storage.url}/x"))
    assert (there.directory / "file").read_bytes() == b"changed"


def test_a_copy_is_nobody_elses(storage: Storage, cache: Cache, tmp_path: Path) -> None:
    first = place(tmp_path / "a", cache=cache)
    fetch(first, wanted(f"{storage.url}/x"))
    (first.directory / "file").write_bytes(b"spoilt by the first task")
    second = place(tmp_path / "b", cache=cache)
    fetch(second, wanted(f"{storage.url}/x"))
    assert (second.directory / "file").read_bytes() == DATA
    assert second.fetched.cached == 1


def test_a_broken_entry_is_fetched_anew(storage: Storage, cache: Cache, tmp_path: Path) -> None:
    fetch(place(tmp_path / "a", cache=cache), wanted(f"{storage.url}/x", checksum=SHA256))
    assert cache.directory is not None
    (cache.directory / f"{key_of(SHA256)}.data").write_bytes(DATA[:-1] + b"?")
    there = place(tmp_path / "b", cache=cache)
    fetch(there, wanted(f"{storage.url}/x", checksum=SHA256))
    assert (there.directory / "file").read_bytes() == DATA
    assert there.fetched.cached == 0


def test_its_room_is_bounded_and_the_oldest_goes(storage: Storage, cache: Cache, tmp_path: Path) -> None:
    for number in range(5):
        storage.files[f"/{number}"] = bytes([number]) * 300_000
        fetch(place(tmp_path / f"t{number}", cache=cache), wanted(f"{storage.url}/{number}"))
        fetch(place(tmp_path / f"u{number}", cache=cache), wanted(f"{storage.url}/0"))  # stays in use
    assert cache.directory is not None
    kept = sum(path.stat().st_size for path in cache.directory.glob("*.data"))
    assert kept <= cache.most
    assert sum(one.path == "/0" and "If-None-Match" not in one.headers for one in storage.asked) == 1


def test_old_locks_go(storage: Storage, cache: Cache, tmp_path: Path) -> None:
    fetch(place(tmp_path / "a", cache=cache), wanted(f"{storage.url}/x"))
    assert cache.directory is not None
    for name in ("old.lock", "new.lock"):
        (cache.directory / name).touch()
    for path in (cache.directory / "old.lock", *cache.directory.glob(f"{key_of(storage.url + '/x')}.*")):
        os.utime(path, (1, 1))
    cache.make_room(1)
    names = {path.name for path in cache.directory.glob("*.lock")}
    assert names == {"new.lock", f"{key_of(storage.url + '/x')}.lock"}


def test_what_is_too_large_does_not_come_in(storage: Storage, cache: Cache, tmp_path: Path) -> None:
    storage.files["/x"] = bytes(600_000)
    for name in "ab":
        there = place(tmp_path / name, cache=cache)
        fetch(there, wanted(f"{storage.url}/x"))
        assert there.fetched.moved == 600_000


def test_a_cut_download_does_not_come_in(storage: Storage, cache: Cache, tmp_path: Path) -> None:
    storage.always["GET", "/x"] = cut(10)
    with pytest.raises(TransferFailed):
        fetch(place(tmp_path / "a", cache=cache), wanted(f"{storage.url}/x"))
    assert cache.directory is not None
    assert not [*cache.directory.glob("*.data")]


def test_a_folder_that_others_may_write_is_not_used(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    fetch(place(tmp_path / "a", cache=Cache(tmp_path / "open", 1_000_000)), wanted(f"{storage.url}/x"))
    assert not os.listdir(tmp_path / "open")


def test_who_waits_for_another_can_be_stopped(cache: Cache) -> None:
    def stop() -> None:
        raise Stopped("enough")

    with cache.entry("k", lambda: None):
        with pytest.raises(Stopped), cache.entry("k", stop):
            pass
