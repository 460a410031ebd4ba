"""Batches of pixels: through functions, through the desk, and through the process that pilots start."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from scanner import batch
from scanner.batch import Prepared, run_batch
from scanner.event import Event
from scanner.i3live import read_event
from scanner.recos import UnknownReco
from scanner.result import nan_rows
from scanner.rows import BatchError, rows_from_table, seeds_from_rows
from scanner.simulate import simulate_track
from scanner.worker import Desk, serve
from scanner.writer import write_event

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


def test_the_desk_asks_for_an_event_once(document: dict[str, Any]) -> None:
    desk = Desk()
    assert desk.answer(request()) == {"need": "event"}
    first = desk.answer(request(event=document))
    assert desk.answer(request())["rows"] == first["rows"]


def test_the_desk_forgets_old_events(document: dict[str, Any]) -> None:
    desk = Desk(size=1)
    desk.answer(request(event=document))
    desk.answer(request(event_id="other", event=document))
    assert desk.answer(request()) == {"need": "event"}


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
    answer = Desk().answer(request(**{"event": document, **changes}))
    assert answer["fault"] == "payload"
    assert text in answer["error"]


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
