"""Which hosts stand out: by what chance allows, compared with the same work elsewhere."""

from __future__ import annotations

import xml.etree.ElementTree as ET  # what we made ourselves

from hypothesis import given
from hypothesis import strategies as st

from server.production.activity.host_hours import Host
from server.web.common import heat
from server.web.common.heat import Cell, Row
from server.web.home.hosts import judged


def host(name: str, **groups: tuple[int, int]) -> Host:
    good, bad = (sum(pair[place] for pair in groups.values()) for place in (0, 1))
    return Host(name, "north", {0: (good, bad)}, dict(groups))


def test_a_host_that_eats_tasks_stands_out_and_a_large_one_does_not() -> None:
    eater, large = host("eater", numu=(2, 30)), host("large", numu=(3000, 90))
    everywhere = {"numu": (9000, 300)}
    rows = judged([large, eater], everywhere)
    assert [row.host.name for row in rows] == ["eater", "large"]
    assert [row.stands_out for row in rows] == [True, False]
    assert rows[1].host.ends[1] > rows[0].host.ends[1]


def test_a_dataset_that_fails_everywhere_blames_no_host() -> None:
    (row,) = judged([host("unlucky", broken=(0, 60), numu=(50, 1))],
                    {"broken": (0, 900), "numu": (5000, 90)})
    assert not row.stands_out
    assert row.expected > 55


def test_a_host_alone_is_compared_with_nobody() -> None:
    (row,) = judged([host("alone", numu=(0, 40))], {"numu": (0, 40)})
    assert (row.stands_out, row.chance, row.expected) == (False, 1.0, 0)


ends = st.tuples(st.integers(0, 50), st.integers(0, 50))


@given(st.lists(ends, min_size=1, max_size=8))
def test_whatever_happened_is_judged_and_sorted(found: list[tuple[int, int]]) -> None:
    hosts = [host(f"node{number}", numu=pair) for number, pair in enumerate(found)]
    total = (sum(good for good, _ in found), sum(bad for _, bad in found))
    rows = judged(hosts, {"numu": total})
    assert len(rows) == len(found)
    assert [row.chance for row in rows] == sorted(row.chance for row in rows)
    assert all(0 <= row.chance <= 1 and row.words for row in rows)


@given(st.lists(st.lists(st.one_of(st.none(), ends), min_size=24, max_size=24), max_size=5))
def test_the_grid_has_a_titled_cell_for_every_hour_with_ends(
        found: list[list[tuple[int, int] | None]]) -> None:
    rows = [Row(f"<node{number}>.north.example.org", number == 0, "words",
                [None if pair is None else Cell(*pair) for pair in cells])
            for number, cells in enumerate(found)]
    drawn = heat.draw("Failures", rows, [f"{hour:02}:00" for hour in range(24)])
    if not rows:
        assert drawn == ""
        return
    root = ET.fromstring(drawn)
    cells = [one for one in root.iter("rect") if "cell" in str(one.get("class"))]
    assert len(cells) == sum(pair is not None for cells in found for pair in cells)
    assert all(cell.findtext("title") for cell in cells)
    assert "standing out: <node0>" in str(root.get("aria-label"))


def test_colours_follow_the_share_that_failed() -> None:
    styles = [Cell(good, bad).style for good, bad in ((9, 0), (99, 1), (8, 2), (6, 4), (4, 6), (1, 9))]
    assert styles == ["none", "heat1", "heat2", "heat3", "heat4", "heat5"]
