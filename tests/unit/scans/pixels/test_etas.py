"""Predictions of a scan's end, and what is said of them afterwards."""

from __future__ import annotations

import pytest

from scanner.maps.levels import Progression
from scanner.maps.result import ScanMetadata
from server.scans.pixels.batches import Group
from server.scans.pixels.etas import SHARES, errors, reached
from server.scans.pixels.runs import Phase, Prediction, Run
from server.scans.pixels.tallies import Tally, tally

PROGRESSION = Progression.parse("1:0")


def run(phase: Phase, *predictions: Prediction) -> Run:
    return Run(scan_id="s", dataset_id="d", i3_event_id="e", event=ScanMetadata(), reco="r", nsides="1:0",
               threshold=1.0, max_pixel_reco_time=1, memory_gb=1, disk_gb=1, priority=1, phase=phase,
               started=100.0, since=150.0, predictions=list(predictions))


def counts(done: int, reused: int = 0) -> Tally:
    groups = [Group(1, True, 1, done, 1.0, 1.0, 0.0, reused), Group(1, False, 1, 12 - done, 0.0, 0.0)]
    return tally(PROGRESSION, groups, 100.0, 110.0)


@pytest.mark.parametrize(("done", "share"), [(0, None), (1, 0.05), (3, 0.25), (11, 0.9), (12, 0.9)])
def test_shares_are_reached_one_after_the_other(done: int, share: float | None) -> None:
    assert reached(counts(done)) == share
    assert share is None or share in SHARES


def test_errors_are_told_when_the_map_is_final() -> None:
    made = [Prediction(0.1, 5.0, 75.0), Prediction(0.5, 20.0, 40.0)]
    assert [(one.share, one.actual_s, one.error_percent) for one in errors(run(Phase.FINAL, *made))] == [
        (0.1, 50.0, pytest.approx(50.0)), (0.5, 50.0, pytest.approx(-20.0))]
    assert errors(run(Phase.RUNNING, *made)) == []
    assert errors(run(Phase.FAILED, *made)) == []


def test_pixels_of_an_earlier_scan_make_no_rate() -> None:
    assert counts(6).rate == pytest.approx(0.6)
    assert counts(6, reused=4).rate == pytest.approx(0.2)
    assert counts(6, reused=4).left == pytest.approx(30.0)
    assert counts(6, reused=6).left is None
