"""Counting how far a scan is, and telling it in SkyDriver's words."""

from __future__ import annotations

import pytest

from scanner.maps.levels import Progression
from scanner.maps.result import ScanMetadata
from server.scans.manifests.bodies import PATCH
from server.scans.pixels.batches import Group
from server.scans.pixels.runs import Phase, Run
from server.scans.pixels.tallies import Tally, tally
from server.scans.run.progress import document

PROGRESSION = Progression.parse("8:0,64:12")


def batch(nside: int, count: int, seconds: float | None = None) -> Group:
    return Group(nside, seconds is not None, 1, count, seconds or 0.0, seconds or 0.0, 1005.0)


def count(*groups: Group, wall: float = 10.0) -> Tally:
    return tally(PROGRESSION, groups, 1000.0, 1000.0 + wall)


def run(phase: Phase = Phase.RUNNING) -> Run:
    return Run(scan_id="s", dataset_id="d", i3_event_id="e", event=ScanMetadata(), reco="track_mpe",
               nsides="8:0,64:12", threshold=1.0, max_pixel_reco_time=60, memory_gb=1, disk_gb=1, priority=2,
               phase=phase, started=1000.0, since=1010.0)


def test_levels_that_were_not_reached_are_estimated() -> None:
    counts = count(batch(8, 700, 7.0), batch(8, 68))
    levels = [(level.nside, level.done, level.total) for level in counts.levels]
    assert levels == [(8, 700, 768), (64, 0, 768)]
    assert (counts.done, counts.total, counts.seconds) == (700, 1536, 7.0)
    assert (counts.open_batches, counts.latest) == (1, 1005.0)
    assert counts.rate == 70.0
    assert counts.left == pytest.approx(836 / 70)


def test_levels_that_were_reached_have_what_was_asked_for() -> None:
    assert count(batch(8, 768, 1.0), batch(64, 704, 1.0)).total == 768 + 704


def test_without_results_there_is_no_rate() -> None:
    counts = count(batch(8, 768))
    assert counts.left is None
    assert document(run(), counts)["processing_stats"]["rate"] == {}
    assert document(run(), counts)["processing_stats"]["predictions"] == {}


@pytest.mark.parametrize("phase", list(Phase))
def test_progress_is_what_an_outside_scanner_could_send(phase: Phase) -> None:
    for counts in (count(), count(batch(8, 700, 7.0), batch(8, 68)), count(batch(8, 768, 1e5), wall=1e5)):
        PATCH.check({"progress": document(run(phase), counts)})


def test_rates_are_of_all_and_of_each_level() -> None:
    done = Group(8, True, 2, 100, 50.0, 40.0, 1005.0, 20, 80.0)
    begun = Group(64, False, 1, 48, 4.0, 4.0)
    rate = document(run(), count(done, begun))["processing_stats"]["rate"]
    assert rate == {
        "all recos": {"worker time": "0.675 s per reco", "round-trip time": "1 s per reco",
                      "wall time": "0.125 s per reco"},
        "nside-8": {"worker time": "0.625 s per reco", "round-trip time": "1 s per reco",
                    "wall time": "0.125 s per reco"}}


def test_the_end_is_told() -> None:
    finished = document(run(Phase.FINAL), count(batch(8, 768, 1.0)))
    assert finished["end"] == 1010
    assert finished["processing_stats"]["finished"] is True
    assert document(run(Phase.FAILED), count())["processing_stats"]["finished"] is False
    assert document(run(), count())["end"] is None
