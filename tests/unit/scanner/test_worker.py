"""Batches of pixels: through functions, through the desk, and through the process that pilots start."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner import batch
from scanner.batch import Prepared, part_sizes, run_batch
from scanner.events.event import Event
from scanner.events.i3live import read_event
from scanner.events.writer import write_event
from scanner.maps.result import nan_rows
from scanner.maps.rows import BatchError, rows_from_table, seeds_from_rows
from scanner.recos.recos import UnknownReco
from scanner.simulation.simulate import simulate_track
from scanner.worker import Desk, serve

PIXELS = [0, 5, 100, 767]


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return write_event(simulate_track(np.random.default_rng(7), 1.6, 2.0, energy=1e5))


@pytest.fixture(scope="module")
def event(document: dict[str, Any]) -> Event:
    return read_event(document)


def request(**changes: Any) -> dict[str, Any]:
    return {"event_id": "e", "reco_algo": "track_mpe", "nside": 8, "pixels": PIXELS, "seeds": None, **changes}


def test_rows_have_the_pixels_in_their_order(event: Event) -> None:
    result = run_batch(event, "track_mpe", 8, PIXELS[::-1], None)
    assert [row[0] for row in result.rows] == PIXELS[::-1]
    assert all(len(row) == 8 for row in result.rows)
    assert all(isinstance(row[1], float) for row in result.rows)
    assert result.seconds > 0


def test_how_pixels_are_cut_into_batches_changes_nothing(event: Event) -> None:
    whole = run_batch(event, "track_mpe", 8, PIXELS, None).rows
    assert [run_batch(event, "track_mpe", 8, [pixel], None).rows[0] for pixel in PIXELS] == whole


def test_seeds_go_there_and_back(event: Event) -> None:
    rows = run_batch(event, "track_mpe", 8, PIXELS, None).rows
    table = seeds_from_rows([rows[0], None, rows[2], rows[3]], 4)
    assert table is not None
    back = rows_from_table(table)
    assert [back[0], back[2], back[3]] == [rows[0], rows[2], rows[3]]
    assert back[1] == [-1, *[None] * 7]
    assert seeds_from_rows(None, 4) is None
    assert seeds_from_rows([None, None], 2) is None
    seeded = run_batch(event, "track_mpe", 8, PIXELS, rows).rows
    assert np.all([new[1] <= old[1] + 1.0 for new, old in zip(seeded, rows, strict=True)])


@pytest.mark.parametrize("seeds", [[[1, 2.0]], [[1] + [2.0] * 7] * 2])
def test_seeds_that_are_none(seeds: Any) -> None:
    with pytest.raises(BatchError, match="seeds"):
        seeds_from_rows(seeds, 1)


def test_infinities_have_no_json() -> None:
    table = nan_rows(np.array([3]))
    table["llh"], table["X"] = np.inf, 2.5
    assert rows_from_table(table) == [[3, None, None, None, 2.5, None, None, None]]
    json.dumps(rows_from_table(table), allow_nan=False)


@pytest.mark.parametrize(("nside", "pixels"), [(8, [768]), (8, [-1]), (7, [0]), (8, [])])
def test_pixels_that_are_none(event: Event, nside: int, pixels: list[int]) -> None:
    with pytest.raises(BatchError, match="pixels"):
        batch.reconstruct_pixels(event, "track_mpe", nside, np.array(pixels, dtype=np.int64), None)


def test_an_event_is_prepared_once(event: Event) -> None:
    prepared = Prepared(size=1)
    first = prepared.get(event, "track_mpe")
    assert prepared.get(event, "track_mpe") is first
    with pytest.raises(UnknownReco):
        prepared.get(event, "track_mep")


def answer(desk: Desk, **changes: Any) -> dict[str, Any]:
    """The last answer to a request."""
    *_, last = desk.answers(request(**changes))
    return last


def test_the_desk_asks_for_an_event_once(document: dict[str, Any]) -> None:
    desk = Desk()
    assert answer(desk) == {"need": "event"}
    first = answer(desk, event=document)
    assert answer(desk)["rows"] == first["rows"]


def test_the_desk_forgets_old_events(document: dict[str, Any]) -> None:
    desk = Desk(size=1)
    answer(desk, event=document)
    answer(desk, event_id="other", event=document)
    assert answer(desk) == {"need": "event"}


@pytest.mark.parametrize(("changes", "text"), [
    ({"event": {"value": {}}}, "event e: "),
    ({"reco_algo": "track_mep"}, "did you mean"),
    ({"pixels": [768]}, "pixels"),
    ({"pixels": None}, "not a request"),
    ({"nside": "8"}, "not a request"),
    ({"seeds": [[1]]}, "seeds"),
])
def test_what_can_never_work_is_the_payloads_fault(document: dict[str, Any], changes: dict[str, Any],
                                                    text: str) -> None:
    told = answer(Desk(), **{"event": document, **changes})
    assert told["fault"] == "payload"
    assert text in told["error"]


def test_a_batch_in_parts_is_the_same_batch(document: dict[str, Any]) -> None:
    desk = Desk()
    whole = answer(desk, event=document)["rows"]
    for changes in ({"part_seconds": 60.0}, {"part_seconds": 0.0}, {"part_seconds": 60.0, "alone": 3}):
        answers = list(desk.answers(request(**changes)))
        begun = [one["begin"] for one in answers if "begin" in one]
        parts = [one for one in answers if "rows" in one]
        assert [row for part in parts for row in part["rows"]] == whole
        assert begun == [len(part["rows"]) for part in parts]
        assert [one.get("more", False) for one in parts] == [True] * (len(parts) - 1) + [False]
        assert begun[0] == 1
        assert changes.get("alone") is None or begun == [1, 1, 1, 1]


@given(n=st.integers(0, 3000), alone=st.integers(0, 50), cost=st.floats(1e-5, 1.0),
       limit=st.floats(0.01, 5.0))
def test_parts_add_up_and_fit_their_time(n: int, alone: int, cost: float, limit: float) -> None:
    sizes = part_sizes(n, limit, alone)
    found, size = [], next(sizes)
    while size:
        found.append(size)
        size = sizes.send(size * cost)
    assert sum(found) == n
    assert found[:alone] == [1] * min(alone, n)
    assert all(one == 1 or one * cost <= limit * 1.001 for one in found)
    assert all(later <= 2 * one for one, later in pairwise(found))


def test_lines_that_are_no_requests_are_answered() -> None:
    answers = io.BytesIO()
    serve(io.BytesIO(b'{\n[1]\n{"x": 1}\n'), answers)
    ready, *rest = map(json.loads, answers.getvalue().splitlines())
    assert ready["ready"]
    assert ["error" in answer for answer in rest] == [True] * 3


def test_the_process_speaks_json_alone(document: dict[str, Any]) -> None:
    lines = "".join(json.dumps(item) + "\n" for item in (request(), request(event=document), request()))
    argv = [sys.executable, "-m", "scanner.worker"]
    ended = subprocess.run(argv, input=lines, capture_output=True, text=True, check=True)
    ready, need, first, second = map(json.loads, ended.stdout.splitlines())
    assert (ready["ready"], need) == (True, {"need": "event"})
    assert first["rows"] == second["rows"]
