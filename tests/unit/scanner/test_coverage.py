"""Populations of events and the calibration of regions on them."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

from scanner.coverage import Outcome, calibrate, containment, main
from scanner.events.event import Event
from scanner.maps.level_sets import LEVEL_SETS
from scanner.simulation.population import CLASSES, FEWEST_MODULES, draw_event
from scanner.simulation.simulate import MUON_LIGHT, simulate_track


def same(one: Event, other: Event) -> bool:
    return one.truth == other.truth and np.array_equal(one.pulses.time, other.pulses.time)


@pytest.mark.parametrize("name", CLASSES)
def test_an_event_depends_on_seed_and_number_alone(name: str) -> None:
    event = draw_event(name, 5, 3)
    assert same(event, draw_event(name, 5, 3))
    assert not same(event, draw_event(name, 5, 4))
    assert not same(event, draw_event(name, 6, 3))
    cleaned = event.cleaned
    assert len(set(zip(cleaned.string.tolist(), cleaned.om.tolist(), strict=True))) >= FEWEST_MODULES
    assert event.truth is not None
    assert event.truth.shape == ("cascade" if name == "cascade" else "track")


def test_single_losses_give_the_light_of_a_muon_that_slows_down() -> None:
    """Half way, 27 % of its energy is gone on average (900 m at 3.5e-4 1/m)."""

    def charges(single: bool) -> list[float]:
        return [float(simulate_track(np.random.default_rng(seed), 1.5, 1.0, energy=1e4,
                                     single_losses=single).pulses.charge.sum()) for seed in range(40)]

    even, single = charges(False), charges(True)
    assert np.mean(single) == pytest.approx(MUON_LIGHT * 0.73 * np.mean(even), rel=0.2)
    assert np.std(single) > 3 * np.std(even)


def test_more_absorption_leaves_less_light() -> None:
    dark, clear = (simulate_track(np.random.default_rng(1), 1.5, 1.0, energy=1e4, ice=(1.0, factor))
                   for factor in (1.3, 0.7))
    assert dark.pulses.charge.sum() < 0.8 * clear.pulses.charge.sum()


def test_two_degrees_of_freedom_are_calibrated_to_what_wilks_says() -> None:
    deltas = np.random.default_rng(3).chisquare(2, 20000)
    for found, shown in zip(calibrate(deltas), containment(deltas, LEVEL_SETS["wilks"]), strict=True):
        wilks = LEVEL_SETS["wilks"].threshold(found.level)
        assert found.low - 0.05 <= wilks <= found.high + 0.05
        assert found.low < found.threshold < found.high
        assert shown.observed == pytest.approx(found.level, abs=4 * shown.error)


def test_a_calibrated_threshold_holds_its_share_of_the_very_sample() -> None:
    deltas = np.random.default_rng(4).gamma(0.7, 9.0, 101)
    for found in calibrate(deltas):
        assert np.mean(deltas <= found.threshold) >= found.level > np.mean(deltas < found.threshold)


def test_kept_events_are_not_scanned_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                           capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "kept.jsonl"
    outcomes = [Outcome(number, 50 + number, 1e4, 0.1 * number, float(number), {"0.5": 1.0, "0.9": 2.0}, 1.0)
                for number in range(10)]
    kept.write_bytes(b"\n".join(map(msgspec.json.encode, outcomes)) + b"\n")
    monkeypatch.setattr("sys.argv", ["coverage", "--events", "10", "--keep", str(kept), "--json"])
    main()
    told = json.loads(capsys.readouterr().out)
    assert told["events"] == 10
    assert [one["threshold"] for one in told["calibrated"]] == [4.0, 8.0]
    assert told["containment"]["wilks"][0]["observed"] == pytest.approx(0.2)
    assert told["containment"]["wilks"][1]["observed"] == pytest.approx(0.5)
    assert [group["events"] for group in told["by_modules"]] == [3, 3, 4]
