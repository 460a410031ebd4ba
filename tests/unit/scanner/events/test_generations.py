"""One event in the spelling of every generation: it is read back the same."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.common.errors import EventError
from scanner.events.archive import ArchiveWriter
from scanner.events.event import Event
from scanner.events.frame import FrameObject
from scanner.events.i3live import read_event
from scanner.events.i3objects import write_string
from scanner.events.pulsemap import PulseMap
from scanner.events.typenames import class_of, normalised
from scanner.events.writer import write_event
from tests.support.generations import SPELLINGS, old_pulses, respelt, rewritten

DATA = Path(os.environ.get("ICEPROD_TEST_DATA", Path(__file__).parents[5] / "shared")) / "events"
REAL = sorted([*DATA.glob("*.json"), *DATA.glob("older/*.json")])
MAP = "I3Map<OMKey, vector<I3RecoPulse> >"
UNION = "I3RecoPulseSeriesMapUnion"


def content(event: Event) -> tuple[Any, ...]:
    columns = [getattr(event.pulses, name).tolist() for name in ("string", "om", "time", "charge", "flags")]
    numbers = (event.run_id, event.event_id, event.event_type, event.mjd, len(event.cleaned))
    return (*numbers, columns, repr(event.recos), repr(event.truth), event.exclusions, event.notes)


@pytest.mark.parametrize("spelling", SPELLINGS)
@settings(max_examples=10)
@given(n=st.integers(1, 60), seed=st.integers(0, 1000), version=st.sampled_from([5, 6]))
def test_every_spelling(event_of: Callable[..., Event], spelling: str, n: int, seed: int,
                        version: int) -> None:
    document = write_event(event_of(n, seed))
    assert content(read_event(respelt(document, spelling, version=version))) == content(read_event(document))


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("path", REAL, ids=[path.stem for path in REAL])
def test_every_spelling_of_a_real_event(path: Path, spelling: str) -> None:
    document = json.loads(path.read_text())
    assert content(read_event(respelt(document, spelling))) == content(read_event(document))


@pytest.mark.parametrize(("name", "kind"), [
    ("I3PODHolder<__cxx11::string >", "I3String"), ("I3PODHolder<string>", "I3String"),
    ("I3PODHolder<std::basic_string<char, std::char_traits<char>, std::allocator<char> > >", "I3String"),
    ("I3Map<OMKey, std::vector<I3RecoPulse, std::allocator<I3RecoPulse> > >", "I3RecoPulseSeriesMap"),
    ("I3Map<OMKey,I3RecoPulseSeries>", "I3RecoPulseSeriesMap"),
    ("I3Map<OMKey, vector<I3Waveform> >", "I3Map<OMKey,vector<I3Waveform>>"),
    ("I3Particle", "I3Particle"), ("struct I3Particle", "I3Particle"), ("", ""), ("<<", "<<"), ("a<b", "a<b"),
])
def test_names(name: str, kind: str) -> None:
    assert class_of(name) == kind


@given(st.text(st.sampled_from("ab<>,: *&1_"), max_size=40) | st.text(max_size=40))
def test_any_name_is_answered(name: str) -> None:
    assert normalised(normalised(name)) == normalised(name) or "<" not in name


def test_template_depth_is_bounded() -> None:
    assert normalised("a<" * 400 + ">" * 400)


@pytest.mark.parametrize("omkey", [0, 1, 2])
@pytest.mark.parametrize("pulse", [0, 1, 2, 3])
def test_old_pulses_and_keys(event_of: Callable[..., Event], pulse: int, omkey: int) -> None:
    event = event_of(40)
    data = old_pulses(PulseMap.from_pulses(event.pulses), pulse, omkey)
    read = read_event(replaced(event, "Q", "InIcePulses", FrameObject(MAP, data)))
    assert np.allclose(read.pulses.time, event.pulses.time, rtol=1e-6)
    assert read.pulses.charge.tolist() == event.pulses.charge.tolist()
    assert read.pulses.string.tolist() == event.pulses.string.tolist()


def replaced(event: Event, stop: str, key: str, item: FrameObject | None) -> dict[str, Any]:
    """The event's document with one object replaced, or left out."""
    def edit(at: str, objects: Any) -> Any:
        if at != stop:
            return objects
        others = {name: value for name, value in objects.items() if name != key}
        return others if item is None else {**others, key: item}
    return rewritten(write_event(event), edit)


def union_of(*keys: str) -> FrameObject:
    archive = ArchiveWriter()
    archive.begin(UNION)
    archive.class_info("vector<string>")
    archive.u32(len(keys))
    for key in keys:
        archive.string(key)
    return FrameObject(UNION, archive.finish())


def named(kind: str, *keys: str) -> FrameObject:
    archive = ArchiveWriter()
    archive.begin(kind)
    for key in keys:
        archive.string(key)
    return FrameObject(kind, archive.finish())


@pytest.mark.parametrize(("item", "times"), [
    (union_of("InIcePulses"), 1), (union_of("InIcePulses", "InIcePulses"), 2),
    (named("I3RecoPulseSeriesMapApplySPECorrection", "InIcePulses", "I3Calibration"), 1),
    (named("I3RecoPulseSeriesMapCombineByModule", "InIcePulses"), 1)])
def test_pulses_of_pulses(event_of: Callable[..., Event], item: FrameObject, times: int) -> None:
    read = read_event(replaced(event_of(30), "P", "SplitInIcePulses", item))
    assert len(read.pulses) == times * len(event_of(30).pulses)


def test_unions_do_not_grow_without_end(event_of: Callable[..., Event]) -> None:
    with pytest.raises(EventError, match="or a circle"):
        read_event(replaced(event_of(3), "P", "SplitInIcePulses", union_of(*["SplitInIcePulses"] * 9)))


def superdst_0(stamps: list[int], headers: list[int]) -> FrameObject:
    archive = ArchiveWriter()
    archive.begin("I3SuperDST", 0)
    archive.u16(len(stamps))
    for word in (*stamps, *headers):
        archive.u16(word)
    return FrameObject("I3SuperDST", archive.finish())


def test_superdst_of_2011(event_of: Callable[..., Event]) -> None:
    """Two pulses of one module, the second with a charge of more than 6 bits; then one with a late time."""
    stamps = [10 | 4 << 8 | 1 << 14, 5 | 63 << 8 | 1 << 14, 37 | 1 << 15, 255 | 2 << 8, 1000 | 1 << 15]
    headers = [(30 << 6) | 9, (31 << 6) | 19 | 7 << 13]
    pulses = read_event(replaced(event_of(3), "P", "SplitInIcePulses", superdst_0(stamps, headers))).pulses
    assert pulses.time.tolist() == [-512 + 40, -512 + 60, -472 + 4 * (2047 + 1000)]
    assert np.allclose(pulses.charge, [0.6, 15.0, 0.3])
    assert pulses.flags.tolist() == [7, 7, 4]
    assert pulses.string.tolist() == [30, 30, 31]
    assert pulses.om.tolist() == [10, 10, 20]


@pytest.mark.parametrize(("stamps", "headers"), [([1, 1 << 15], []), ([1 << 14, 1 << 15], [5])])
def test_superdst_of_2011_that_is_broken(event_of: Callable[..., Event], stamps: list[int],
                                         headers: list[int]) -> None:
    with pytest.raises(EventError, match="P/SplitInIcePulses, byte"):
        read_event(replaced(event_of(3), "P", "SplitInIcePulses", superdst_0(stamps, headers)))


@pytest.mark.parametrize("version", range(5))
def test_old_particles(event_of: Callable[..., Event], version: int) -> None:
    archive = ArchiveWriter()
    archive.begin("I3Particle", version)
    archive.u32(1)
    if version > 1:
        archive.u64(2)
    if version == 0:
        archive.raw(bytes(8))
    for number in (5, 40, 0):
        archive.i32(number)
    for name, values in (("I3Position", (1.0, 2.0, 3.0)), ("I3Direction", (0.5, 0.25))):
        archive.class_info(name, tracked=True)
        archive.base()
        for value in values:
            archive.f64(value)
    for value in (7.0, math.nan, math.nan, 0.3):
        archive.f64(value)
    if version == 0:
        archive.class_info("vector<I3Particle>")
        archive.u32(0)
    else:
        archive.i32(0)
    if version == 4:
        archive.raw(bytes(16))
    item = FrameObject("I3Particle", archive.finish())
    reco = read_event(replaced(event_of(3), "P", "Old", item)).recos["Old"]
    assert (reco.zenith, reco.azimuth, reco.x, reco.z, reco.time) == (0.5, 0.25, 1.0, 3.0, 7.0)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_old_headers(event_of: Callable[..., Event], version: int) -> None:
    archive = ArchiveWriter()
    archive.begin("I3EventHeader", version)
    for number in (120_000, *([3] if version > 0 else []), 77):
        archive.u32(number)
    if version > 1:
        archive.i32(20)
    for _ in range(2):
        archive.class_info("I3Time", tracked=True)
        archive.base()
        archive.i32(2012)
        archive.raw((0).to_bytes(8, "little"))
    event = read_event(replaced(event_of(3), "P", "I3EventHeader",
                                FrameObject("I3EventHeader", archive.finish())))
    assert (event.run_id, event.subrun_id, event.event_id) == (120_000, 3 if version else 0, 77)


@pytest.mark.parametrize("item", [
    FrameObject("I3Particle", b""), FrameObject("I3Particle", b"\0" * 150), FrameObject("I3Unheard", b"?")])
def test_what_is_not_needed_is_skipped(event_of: Callable[..., Event], item: FrameObject) -> None:
    event = read_event(replaced(event_of(20), "P", "Extra", item))
    assert len(event.pulses) == len(event_of(20).pulses)
    assert all(note.startswith("P/Extra, byte ") for note in event.notes)
    assert len(event.notes) == (item.type_name == "I3Particle")


def test_a_damaged_frame_that_nobody_needs(event_of: Callable[..., Event]) -> None:
    document = write_event(event_of(20))
    document["value"]["data"]["frames"][1][1] = "?"
    event = read_event(document)
    assert len(event.notes) == 1
    assert event.notes[0].startswith("frame C: skipped: this is not base64")


def test_what_is_needed_and_broken_says_where(event_of: Callable[..., Event]) -> None:
    broken = replaced(event_of(20), "P", "SplitInIcePulses", FrameObject("I3RecoPulseSeriesMapMask", b"\0\1"))
    with pytest.raises(EventError, match=r"^event, frame P/SplitInIcePulses, byte \d+: .* bytes are needed"):
        read_event(broken)


def test_numbers_that_are_missing_around_an_event(event_of: Callable[..., Event]) -> None:
    document = write_event(event_of(20))
    document["value"]["data"]["reco"] = {"cr_zen": math.nan, "bs_est": [math.inf, -math.inf]}
    message = FrameObject("I3PODHolder<string>", write_string('{"hese": {"llh_ratio": NaN}}'))
    assert read_event(json.dumps(document)).run_id == event_of(20).run_id
    edited = replaced(event_of(20), "P", "AlertShortFollowupMsg", message)
    assert read_event(json.dumps(edited)).event_type == "HESE"
