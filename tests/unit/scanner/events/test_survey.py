"""What `iceprod event` tells: what is there, what is missing, what a scan could do with it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from iceprod.cli.main import main
from scanner.events.event import Event, Particle, Pulses
from scanner.events.event_plot import best_direction, plot_event
from scanner.events.frame import FrameObject
from scanner.events.i3objects import write_pulse_map
from scanner.events.pulsemap import PulseMap
from scanner.events.writer import write_event
from scanner.simulation.simulate import simulate_track
from scanner.survey import survey
from scanner.survey_text import as_text
from tests.support.generations import rewritten


@pytest.fixture(scope="module")
def bright() -> Event:
    event = simulate_track(np.random.default_rng(3), 1.2, 2.0, energy=1e5, vertex=(0.0, 0.0, 0.0),
                           mjd=58000.0, run_id=130_000, event_id=7)
    reco = Particle(1.2, 2.0, 0.0, 0.0, 0.0, 1e4, 5e4)
    return dataclasses.replace(event, truth=None, recos={"OnlineL2_SplineMPE": reco}, event_type="HESE")


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB")).astype(int)


def without(document: dict[str, Any], *keys: str) -> dict[str, Any]:
    return rewritten(document, lambda _, objects: {
        key: item for key, item in objects.items() if key not in keys})


def with_pulses(event: Event, pulses: Pulses) -> dict[str, Any]:
    """The event's document with other pulses, of which no cleaning was made."""
    item = FrameObject("I3Map<OMKey, vector<I3RecoPulse> >", write_pulse_map(PulseMap.from_pulses(pulses)))
    return rewritten(write_event(event), lambda stop, objects: (
        objects if stop != "P" else {**objects, "SplitInIcePulses": item}))


def test_a_whole_event(bright: Event) -> None:
    told, event = survey(write_event(bright))
    assert event is not None
    assert (told.run_id, told.event_id, told.stream, told.generation) == (130_000, 7, "HESE", "2023a")
    assert told.time.startswith("2017-09-04 00:00:00")
    assert {one.key: one.pulses for one in told.pulse_maps} == {
        "InIcePulses": len(bright.pulses), "SplitInIcePulses": len(bright.pulses)}
    assert [one.key for one in told.recos] == ["OnlineL2_SplineMPE"]
    assert told.recos[0].energy_gev == 5e4
    assert set(told.scan_with) == {"track", "track_mpe", "cascade", "millipede", "auto"}
    assert not told.skipped
    assert not told.problem


def changed(pulses: Pulses, column: str, value: float) -> Pulses:
    whole = getattr(pulses, column).copy()
    whole[:3] = value
    return dataclasses.replace(pulses, **{column: whole})


@pytest.mark.parametrize(("column", "value", "text"), [
    ("time", math.nan, "3 of {} pulses with no time within a second of the readout"),
    ("charge", -1.0, "3 of {} pulses with a negative charge"),
    ("charge", math.nan, "3 of {} pulses with a charge that is no number"),
    ("width", math.inf, "3 of {} pulses with a width that is no number"),
    ("string", 90, "3 of {} pulses outside strings 1 to 86, where no position of a module is known")])
def test_pulses_that_nobody_can_use(bright: Event, column: str, value: float, text: str) -> None:
    told, event = survey(with_pulses(bright, changed(bright.pulses, column, value)))
    assert event is not None
    assert len(event.pulses) == len(bright.pulses) - 3
    assert told.skipped == [f"P/SplitInIcePulses: skipped: {text.format(len(bright.pulses))}"]
    assert told.can_scan


@pytest.mark.parametrize(("edit", "text"), [
    (lambda e: without(write_event(e), "SplitInIcePulses", "InIcePulses"),
     "none of SplitInIcePulses and SplitUncleanedInIcePulses is in the packet; it holds no pulses"),
    (lambda e: renamed(without(write_event(e), "SplitInIcePulses"), "InIcePulses", "Mine"),
     "is in the packet; it has pulses under Mine only"),
    (lambda e: with_pulses(e, e.pulses.select(np.zeros(len(e.pulses), dtype=bool))), "no in-ice pulses"),
    (lambda e: without(write_event(e), "I3EventHeader", "QI3EventHeader"), "has no 'I3EventHeader'"),
    (lambda e: with_pulses(e, dataclasses.replace(e.pulses, charge=-e.pulses.charge)), "a negative charge")])
def test_what_no_scan_can_do_without(bright: Event, edit: Callable[[Event], dict[str, Any]],
                                     text: str) -> None:
    document = edit(bright)
    told, event = survey(document)
    assert event is None
    assert text in told.problem
    assert text in as_text(told)


def renamed(document: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    return rewritten(document, lambda _, objects: {
        new if key == old else key: item for key, item in objects.items()})


def one_module(event: Event) -> dict[str, Any]:
    return with_pulses(event, dataclasses.replace(
        event.pulses, string=np.full_like(event.pulses.string, 20), om=np.full_like(event.pulses.om, 20)))


def test_one_module(bright: Event) -> None:
    told, event = survey(one_module(bright))
    assert event is not None
    assert "light in more than one module" in told.missing
    assert not told.can_scan
    assert "at least 4 modules" in told.not_with["track_mpe"]
    assert "an energy fit needs" in told.not_with["cascade"]


def test_parts_that_are_missing(bright: Event) -> None:
    flags = dataclasses.replace(bright.pulses, flags=np.full_like(bright.pulses.flags, 4))
    old = dataclasses.replace(bright, mjd=54_900.0, recos={}, event_type="unknown")
    told, _ = survey(with_pulses(old, flags))
    text = as_text(told)
    assert "missing: stored reconstructions" in text
    assert "missing: the stream" in text
    assert "missing: pulses after the cleaning" in text
    assert "missing: part of the detector: in 2009 it was not complete" in text
    assert "missing: frame C is empty" in text
    assert "cascade" in told.scan_with
    assert "after cleaning the event has 0" in told.not_with["track_mpe"]


def test_no_frame_c(bright: Event) -> None:
    document = write_event(bright)
    frames = document["value"]["data"]["frames"]
    document["value"]["data"]["frames"] = [pair for pair in frames if pair[0] != "C"]
    assert any(text.startswith("there is no frame C") for text in survey(document)[0].missing)


def test_stand_ins_are_told(bright: Event) -> None:
    told, event = survey(without(write_event(bright), "SplitInIcePulses", "I3EventHeader"))
    assert event is not None
    assert any("'QI3EventHeader' is taken" in note for note in told.skipped)
    assert any("'InIcePulses' is taken" in note for note in told.skipped)


def test_the_command(bright: Event, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, plot = tmp_path / "event.json", tmp_path / "out" / "event.png"
    path.write_text(json.dumps(write_event(bright)))
    assert main(["event", str(path), "--json", "--plot", str(plot)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["can_scan"] is True
    assert told["recos"][0]["key"] == "OnlineL2_SplineMPE"
    assert picture(plot).shape[1] > 1000
    assert main(["event", str(path)]) == 0
    assert "can be scanned with track, track_mpe" in capsys.readouterr().out


@pytest.mark.parametrize(("text", "error"), [
    ("{", "this is not JSON"), ('{"value": {"data": [["P", "?"]]}}', "frame P: this is not"),
    ("{}", "no list of frames")])
def test_the_command_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str,
                             error: str) -> None:
    path = tmp_path / "event.json"
    path.write_text(text)
    assert main(["event", str(path)]) == 2
    told = capsys.readouterr().err
    assert error in told
    assert str(path) in told
    assert main(["event", str(tmp_path / "none.json")]) == 2


def test_unknown_endings_of_pictures(bright: Event, tmp_path: Path,
                                     capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "event.json"
    path.write_text(json.dumps(write_event(bright)))
    assert main(["event", str(path), "--plot", str(tmp_path / "x.nonsense")]) == 2
    assert "cannot draw" in capsys.readouterr().err


def test_colours_show_the_time_and_the_line_the_direction(bright: Event, tmp_path: Path) -> None:
    red = []
    for number, event in enumerate((bright, dataclasses.replace(bright, recos={}))):
        plot_event(event, tmp_path / f"{number}.png")
        pixels = picture(tmp_path / f"{number}.png")
        red.append(int((np.abs(pixels - (228, 0, 43)).sum(axis=2) < 12).sum()))
        assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100
    assert red[0] > red[1] + 200


@pytest.mark.parametrize("charge", [0.0, 1e6])
def test_odd_charges_can_be_drawn(bright: Event, tmp_path: Path, charge: float) -> None:
    pulses = dataclasses.replace(bright.pulses, charge=np.full_like(bright.pulses.charge, charge))
    plot_event(dataclasses.replace(bright, pulses=pulses, cleaned=pulses.select(np.zeros(0, int))),
               tmp_path / "odd.png")
    assert (tmp_path / "odd.png").stat().st_size > 10_000


def test_which_direction_is_drawn(bright: Event) -> None:
    other = Particle(0.1, 0.1, 0.0, 0.0, 0.0, 0.0)
    shower = dataclasses.replace(other, shape="cascade")
    recos = {"HESE_SPEFit2": other, "A": shower, "l2_online_SplineMPE": other}
    assert best_direction(dataclasses.replace(bright, recos=recos)) == ("l2_online_SplineMPE", other)
    assert best_direction(dataclasses.replace(bright, recos={"A": shower})) is None
    assert best_direction(dataclasses.replace(bright, truth=other)) == ("truth", other)
