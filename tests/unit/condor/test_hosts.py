"""Machines where pilots fail: left out while others are well, and never taken for the whole site."""

from __future__ import annotations

import pytest

from grid.condor.ends import host_of
from grid.condor.hosts import Excluded, Hosts


def hosts(*well: str) -> Hosts:
    made = Hosts()
    for name in well:
        made.start(name, 0.0)
    return made


def test_the_second_fault_excludes_a_host_and_neither_counts_for_the_site() -> None:
    known = hosts("good")
    assert known.fail("bad", "held", 10.0)
    assert not known.excluded(10.0)
    assert known.fail("bad", "no python", 11.0)
    assert known.excluded(11.0) == [Excluded("bad", 1800, "no python")]
    assert not known.excluded(1812.0)


def test_each_time_it_is_longer_until_a_pilot_starts_well() -> None:
    known = hosts("good")
    for moment in (0.0, 1.0, 2000.0):
        known.fail("bad", "x", moment)
    assert known.excluded(2000.0) == [Excluded("bad", 3600, "x")]
    known.start("bad", 2001.0)
    assert not known.excluded(2001.0)
    known.fail("bad", "x", 2002.0)
    assert not known.excluded(2002.0)


def test_where_nothing_starts_well_or_much_fails_it_is_the_site() -> None:
    assert not Hosts().fail("bad", "x", 0.0)
    assert not hosts("good").fail("", "x", 0.0), "nobody knows where"
    assert not hosts("bad").fail("bad", "x", 0.0), "no other host"
    known = hosts("good")
    assert [known.fail(name, "x", 5.0) for name in ("a", "b", "c", "d")] == [True, True, False, False]
    known.start("good", 6.0)
    assert known.fail("e", "x", 7.0)


@pytest.mark.parametrize(("slot", "host"), [
    ("slot1_2@node7", "node7"), ("slot1@node7.example.org", "node7.example.org"),
    ("slot1_1@glidein_12_3@node7.example.org", "node7.example.org"), ("slot1@worker@pool", "worker@pool"),
    ("", "")])
def test_the_name_of_a_host(slot: str, host: str) -> None:
    assert host_of(slot) == host
