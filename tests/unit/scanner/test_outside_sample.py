"""What the reconstructions make of events that another program simulated, against fixed bounds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scanner.accuracy import judge, length_inside, main
from scanner.common.errors import EventError
from scanner.maps.level_sets import LEVEL_SETS
from scanner.recos.auto import Auto
from scanner.simulation.samples import read_true_event, sample_files

SAMPLE = Path(__file__).parent / "outside_sample"
MEDIAN_DEGREES, WORST_DEGREES = 0.35, 2.0
FEWEST_INSIDE = 7
"""Of ten truths in the 90 % region: fewer have a probability of 1 % if nine are expected."""


def test_tracks_are_found_and_their_regions_hold_them() -> None:
    found = [judge(path, "track") for path in sample_files(SAMPLE) if path.name.startswith("track")]
    off = np.array([one.degrees_off for one in found])
    assert np.median(off) <= MEDIAN_DEGREES
    assert off.max() <= WORST_DEGREES
    threshold = LEVEL_SETS["calibrated_track"].threshold(0.9)
    assert sum(one.delta <= threshold for one in found) >= FEWEST_INSIDE


def test_auto_tells_tracks_from_showers() -> None:
    auto = Auto()
    for path in sample_files(SAMPLE):
        told = read_true_event(path)
        assert auto.chosen(told.event) == told.truth.shape


def test_an_event_is_read_the_same_every_time() -> None:
    path = sample_files(SAMPLE)[0]
    first, second = (read_true_event(path).event.pulses for _ in range(2))
    assert np.array_equal(first.time, second.time)
    assert "ppc" in read_true_event(path).source


def test_pulses_may_be_given_instead_of_photons(tmp_path: Path) -> None:
    columns = dict(np.load(sample_files(SAMPLE)[-1]))
    columns |= {"charge": np.ones(len(columns["time"])), "flags": np.ones(len(columns["time"]), np.uint8)}
    np.savez(tmp_path / "one.npz", **columns)
    pulses = read_true_event(tmp_path / "one.npz").event.pulses
    assert len(pulses) == np.count_nonzero((columns["time"] >= 0) & (columns["time"] < 14000))


@pytest.mark.parametrize(("change", "reason"), [
    ({"zenith": None}, "no zenith"),
    ({"kind": "muon"}, "kind is one of"),
    ({"energy_gev": np.nan}, "must be finite"),
    ({"om": np.array([61])}, "equally long"),
    ({"string": np.array([87]), "om": np.array([1]), "time": np.array([1.0])}, "row 0"),
    ({"charge": np.array([1.0])}, "charge and flags"),
])
def test_what_is_wrong_is_told(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    columns = {**np.load(sample_files(SAMPLE)[0]), **change}
    np.savez(tmp_path / "one.npz", **{name: value for name, value in columns.items() if value is not None})
    with pytest.raises(EventError, match=reason):
        read_true_event(tmp_path / "one.npz")


def test_a_folder_without_events_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["accuracy", "--sample", str(tmp_path)])
    assert main() == 2
    assert "no .npz or .json files" in capsys.readouterr().err
    (tmp_path / "broken.npz").write_bytes(b"nothing")
    assert main() == 2
    assert "broken.npz" in capsys.readouterr().err


def test_figures_of_kept_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "sample").mkdir()
    for path in sample_files(SAMPLE)[-2:]:
        (tmp_path / "sample" / path.name).write_bytes(path.read_bytes())
    kept = tmp_path / "kept.jsonl"
    monkeypatch.setattr("sys.argv", ["accuracy", "--sample", str(tmp_path / "sample"), "--reco", "track",
                                     "--nsides", "4:0", "--keep", str(kept), "--json"])
    assert main() == 0
    first = json.loads(capsys.readouterr().out)
    assert len(kept.read_text().splitlines()) == 2
    assert main() == 0
    assert json.loads(capsys.readouterr().out) == first
    assert first["kinds"]["track"]["events"] == 2
    assert first["kinds"]["track"]["degrees_off"]["0.9"] > 0


@pytest.mark.parametrize(("place", "flight", "length"), [
    ((0.0, 0.0, 0.0), (0.0, 0.0, 1.0), 1000.0), ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), 1040.0),
    ((600.0, 0.0, 0.0), (0.0, 0.0, 1.0), 0.0), ((0.0, 600.0, 0.0), (1.0, 0.0, 0.0), 0.0),
    ((0.0, 0.0, 600.0), (1.0, 0.0, 0.0), 0.0)])
def test_length_inside_a_cylinder(place: tuple[float, ...], flight: tuple[float, ...], length: float) -> None:
    assert length_inside(np.array(place), np.array(flight)) == pytest.approx(length)
