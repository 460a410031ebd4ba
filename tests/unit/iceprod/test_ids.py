"""Ids are version-1 UUIDs, one after the other, and no process makes those of another."""

from __future__ import annotations

import os
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from iceprod.ids import new_id


def test_ids_are_uuids_of_now_in_their_order() -> None:
    before = uuid.uuid1().time
    ids = [uuid.UUID(new_id()) for _ in range(10_000)]
    assert {(one.version, one.variant) for one in ids} == {(1, uuid.RFC_4122)}
    assert all(one.node >> 40 & 1 for one in ids), "a random node says that it is"
    times = [one.time for one in ids]
    assert times == sorted(set(times))
    assert before <= times[0] + 10_000_000  # the clocks are read in different ways
    assert abs((times[-1] - 0x01B21DD213814000) / 1e7 - time.time()) < 600


def test_threads_make_different_ones() -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: [new_id() for _ in range(1000)], range(8)))
    assert len({one for some in made for one in some}) == 8000


def test_a_forked_process_makes_its_own() -> None:
    new_id()
    reading, writing = os.pipe()
    if (child := os.fork()) == 0:
        os.write(writing, new_id().encode())
        os._exit(0)
    os.waitpid(child, 0)
    theirs = os.read(reading, 100).decode()
    for end in (reading, writing):
        os.close(end)
    assert uuid.UUID(theirs).node != uuid.UUID(new_id()).node
