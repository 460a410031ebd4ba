"""Whole events: the shells of all generations, what is read from them, and what is refused."""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.common.errors import EventError
from scanner.events import i3live
from scanner.events.event import Event, Particle, Pulses
from scanner.events.frame import Frame, FrameObject, decode_frame, encode_frame
from scanner.events.i3live import read_event, read_frames
from scanner.events.i3objects import write_pulse_map, write_string
from scanner.events.masks import keep_all, write_mask
from scanner.events.packet import MESSAGE_KEY
from scanner.events.pickles import frame_from_pickle, frame_to_pickle
from scanner.events.pulsemap import PulseMap
from scanner.events.writer import write_event

Objects = Mapping[str, FrameObject]


def same(a: Event, b: Event) -> bool:
    """Equality to the last bit, NaN included."""
    for name in ("pulses", "cleaned"):
        for column in Pulses.__dataclass_fields__:
            mine, theirs = (getattr(getattr(event, name), column) for event in (a, b))
            if mine.dtype != theirs.dtype or mine.tobytes() != theirs.tobytes():
                return False
    return repr(without_pulses(a)) == repr(without_pulses(b))


def without_pulses(event: Event) -> dict[str, Any]:
    fields = {field.name: getattr(event, field.name) for field in dataclasses.fields(Event)}
    return {
        **fields,
        "pulses": None,
        "cleaned": None,
        "recos": sorted(event.recos.items()),
        "exclusions": sorted(event.exclusions.items()),
    }


def change(document: dict[str, Any], stop: str, edit: Callable[[Objects], Objects]) -> dict[str, Any]:
    """The document with the objects of one frame edited, checksums repaired."""
    document = json.loads(json.dumps(document))
    for pair in document["value"]["data"]["frames"]:
        if pair[0] == stop:
            frame = decode_frame(frame_from_pickle(zlib.decompress(base64.b64decode(pair[1]))))
            data = frame_to_pickle(encode_frame(Frame(stop, edit(frame.objects))))
            pair[1] = base64.b64encode(zlib.compress(data)).decode()
    return document


coordinates = st.floats(-1e4, 1e4)
particles = st.builds(
    Particle,
    st.floats(0, math.pi),
    st.floats(0, 2 * math.pi),
    coordinates,
    coordinates,
    coordinates,
    coordinates,
    st.floats(0, 1e9) | st.just(math.nan),
    st.sampled_from(["track", "cascade"]),
    st.integers(-1, 100),
)
numbers = st.integers(0, 2**32 - 1)


@given(
    numbers,
    numbers,
    numbers,
    st.sampled_from(["HESE", "EHE", "neutrino", "ESTRES", "unknown"]),
    st.floats(53_000, 70_000),
    st.dictionaries(st.text(min_size=1, max_size=20), particles, max_size=3),
    particles | st.none(),
    st.dictionaries(
        st.tuples(st.integers(1, 86), st.integers(1, 60)),
        st.lists(st.tuples(coordinates, coordinates), max_size=2).map(tuple),
        max_size=3,
    ),
    st.integers(1, 60),
    st.integers(0, 1000),
)
def test_what_is_written_is_read(
    pulses_of: Callable[..., Pulses],
    run: int,
    subrun: int,
    event_id: int,
    event_type: str,
    mjd: float,
    recos: dict[str, Particle],
    truth: Particle | None,
    exclusions: dict[tuple[int, int], tuple[tuple[float, float], ...]],
    n: int,
    seed: int,
) -> None:
    pulses = pulses_of(n, seed)
    real = truth is None and 100_000 <= run < 1_000_000
    event = Event(run, subrun, event_id, event_type, mjd, real, pulses, pulses, recos, truth, exclusions)
    read = read_event(json.dumps(write_event(event)))
    assert same(dataclasses.replace(read, cleaned=pulses), event)
    assert same(read_event(write_event(read)), read)


def test_all_shells_hold_the_same_event(event_of: Callable[..., Event], tmp_path: Path) -> None:
    document = write_event(event_of())
    frames = document["value"]["data"]["frames"]
    event = read_event(document)
    path = tmp_path / "event.json"
    path.write_text(json.dumps(document))
    for source in (
        json.dumps(document),
        json.dumps(document).encode(),
        path,
        str(path),
        {"value": {"data": frames}},
        {"GCDQp_packet": {"frames": frames}, "scan_id": "x"},
    ):
        assert same(read_event(source), event)


def test_the_prepared_physics_frame_is_called_p(event_of: Callable[..., Event]) -> None:
    document = write_event(event_of())
    frames = document["value"]["data"]["frames"]
    physics = decode_frame(frame_from_pickle(zlib.decompress(base64.b64decode(frames.pop()[1]))))
    data = frame_to_pickle(encode_frame(Frame("p", physics.objects)))
    frames.append(["p", base64.b64encode(zlib.compress(data)).decode()])
    assert same(read_event({"GCDQp_packet": {"frames": frames}}), read_event(write_event(event_of())))


def test_old_names_of_the_pulses(event_of: Callable[..., Event]) -> None:
    def rename(objects: Objects) -> Objects:
        return {key.replace("SplitInIce", "SplitUncleanedInIce"): item for key, item in objects.items()}

    document = write_event(event_of())
    assert same(read_event(change(document, "P", rename)), read_event(document))


@pytest.mark.parametrize(
    ("run", "truth", "asked", "real"),
    [
        (136_000, False, None, True),
        (99_999, False, None, False),
        (1_000_000, False, None, False),
        (136_000, True, None, False),
        (136_000, False, False, False),
        (5, False, True, True),
    ],
)
def test_what_is_real(
    event_of: Callable[..., Event], run: int, truth: bool, asked: bool | None, real: bool
) -> None:
    event = event_of()
    event = dataclasses.replace(event, run_id=run, truth=event.truth if truth else None)
    assert read_event(write_event(event), is_real_event=asked).is_real_event is real


@pytest.mark.parametrize(
    ("message", "event_type"),
    [
        ({"hese": {}, "neutrino": {}}, "HESE"),
        ({"ehe": {}, "neutrino": {}}, "EHE"),
        ({"neutrino": 0}, "neutrino"),
        ({"estres": {}}, "ESTRES"),
        ({"run_id": 1}, "unknown"),
    ],
)
def test_the_message_names_the_type(
    event_of: Callable[..., Event], message: dict[str, Any], event_type: str
) -> None:
    item = FrameObject("I3PODHolder<__cxx11::string >", write_string(json.dumps(message)))
    document = change(write_event(event_of()), "P", lambda objects: {**objects, MESSAGE_KEY: item})
    assert read_event(document).event_type == event_type


@pytest.mark.parametrize(
    ("key", "event_type"),
    [
        ("HESE_llhratio", "HESE"),
        ("Estres_p_miss", "ESTRES"),
        ("PoleEHEOphelia_ImpLF", "EHE"),
    ],
)
def test_without_a_message_an_object_does(event_of: Callable[..., Event], key: str, event_type: str) -> None:
    def edit(objects: Objects) -> Objects:
        return {
            **{name: item for name, item in objects.items() if name != MESSAGE_KEY},
            key: FrameObject("T", b""),
        }

    assert read_event(change(write_event(event_of()), "P", edit)).event_type == event_type


def test_failed_reconstructions_are_left_out(event_of: Callable[..., Event]) -> None:
    failed = Particle(math.nan, math.nan, math.nan, math.nan, math.nan, math.nan, fit_status=40)
    event = dataclasses.replace(event_of(), recos={"Failed": failed, **event_of().recos})
    assert list(read_event(write_event(event)).recos) == list(event_of().recos)


def test_surface_pulses_are_left_out(event_of: Callable[..., Event]) -> None:
    pulses = event_of().pulses
    om = pulses.om.copy()
    om[:5] = 61
    event = dataclasses.replace(event_of(), pulses=dataclasses.replace(pulses, om=om))
    assert len(read_event(write_event(event)).pulses) == len(pulses) - 5


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("time", math.nan, "no time"),
        ("time", 1e12, "no time"),
        ("charge", math.inf, "charge"),
        ("charge", -1, "charge"),
        ("width", math.nan, "width"),
        ("string", 87, "outside strings 1 to 86"),
        ("string", -3, "outside strings"),
        ("om", 0, "outside strings"),
        ("om", 61, "no in-ice pulses"),
    ],
)
def test_unusable_pulses(event_of: Callable[..., Event], column: str, value: float, reason: str) -> None:
    pulses = event_of(1).pulses
    changed = np.full_like(getattr(pulses, column), value)
    source = PulseMap.from_pulses(dataclasses.replace(pulses, **{column: changed}))
    event = dataclasses.replace(event_of(1), pulses=pulses)

    def edit(objects: Objects) -> Objects:
        return {
            **objects,
            "InIcePulses": FrameObject("I3Map<OMKey, vector<I3RecoPulse> >", write_pulse_map(source)),
        }

    with pytest.raises(EventError, match=reason):
        read_event(change(write_event(event), "Q", edit))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[]", "not an object"),
        (b"\xff\xfe{", "not JSON"),
        ("{}", "no list"),
        ('{"value": 1}', "no list"),
        ('{"value": {"data": "x"}}', "no list"),
        ('{"GCDQp_packet": []}', "physics frame"),
        ({"value": {"data": [1]}}, "pair"),
        ({"value": {"data": [["P"]]}}, "pair"),
        ({"value": {"data": [["P", 1]]}}, "pair"),
        ({"value": {"data": [["PP", ""]]}}, "pair"),
        ({"value": {"data": []}}, "no physics frame"),
        ({"value": {"data": [["P", "?"]]}}, "frame P: this is not base64"),
        ({"value": {"data": [["P", "é"]]}}, "not base64"),
        ({"value": {"data": [["P", "abcd"]]}}, "frame P: this is not a zlib stream"),
        ({"value": {"data": [["P", ""]]}}, "cut off"),
        ({"value": {"data": [["P", ""]] * 33}}, "33 frames"),
        ("no_such_file.json", "no_such_file.json: the file cannot be read"),
        ("a\0b", "cannot be read"),
        ("", "cannot be read"),
        (b"[" * 200_000, "nested too deeply|not JSON"),
        (b'{"a":' * 200_000, "nested too deeply|not JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_refused_shells(source: Any, reason: str) -> None:
    with pytest.raises(EventError, match=reason):
        read_event(source)


def test_errors_carry_the_name(tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_text("{")
    with pytest.raises(EventError, match=r"^broken\.json: this is not JSON"):
        read_event(path)
    with pytest.raises(EventError, match=r"^upload 7: "):
        read_event(b"{", name="upload 7")


def test_bombs_do_not_explode(event_of: Callable[..., Event], monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = base64.b64encode(zlib.compress(bytes(10 << 20))).decode()
    monkeypatch.setattr(i3live, "MAX_INFLATED_BYTES", 1 << 20)
    with pytest.raises(EventError, match="inflate to more than 1048576"):
        read_frames({"value": {"data": [["P", bomb]]}})
    assert len(read_frames(write_event(event_of()))) == 5
    monkeypatch.setattr(i3live, "MAX_JSON_BYTES", 10)
    with pytest.raises(EventError, match="more than the 10 allowed"):
        read_event(b" " * 11)


def test_a_frame_must_be_what_it_is_called(event_of: Callable[..., Event]) -> None:
    document = write_event(event_of())
    document["value"]["data"]["frames"][-1][0] = "Q"
    with pytest.raises(EventError, match="calls itself 'P'"):
        read_event(document)


def mask_object(source: str, pulses: Pulses) -> FrameObject:
    return FrameObject("I3RecoPulseSeriesMapMask", write_mask(keep_all(source, PulseMap.from_pulses(pulses))))


@pytest.mark.parametrize(
    ("objects", "reason"),
    [
        ({"SplitInIcePulses": "Nowhere"}, "has no 'Nowhere'"),
        ({"SplitInIcePulses": "SplitInIcePulses"}, "longer than 16, or a circle"),
        ({"SplitInIcePulses": "A", "A": "B", "B": "A"}, "longer than 16, or a circle"),
        ({"SplitInIcePulses": "I3EventHeader"}, "I3EventHeader holds no pulses"),
        ({"I3EventHeader": FrameObject("I3Double", b"")}, "I3EventHeader is expected, not I3Double"),
    ],
)
def test_refused_packets(event_of: Callable[..., Event], objects: dict[str, Any], reason: str) -> None:
    event = event_of()
    added = {
        key: mask_object(item, event.pulses) if isinstance(item, str) else item
        for key, item in objects.items()
    }

    def edit(old: Objects) -> Objects:
        return {key: item for key, item in {**old, **added}.items() if item is not None}

    with pytest.raises(EventError, match=reason):
        read_event(change(write_event(event), "P", edit))


@pytest.mark.parametrize(("text", "note"), [
    ("{", "the message is not JSON"),
    ("[" * 100_000, "the message is not JSON"),
    ("[]", "the message is not a JSON object"),
])
def test_a_message_that_is_none_is_skipped(event_of: Callable[..., Event], text: str, note: str) -> None:
    item = FrameObject("I3PODHolder<__cxx11::string >", write_string(text))
    event = read_event(change(write_event(event_of()), "P", lambda objects: {**objects, MESSAGE_KEY: item}))
    assert len(event.notes) == 1
    assert event.notes[0].startswith(f"P/{MESSAGE_KEY}, byte ")
    assert event.notes[0].endswith(f"skipped: {note}")


def test_a_mask_of_other_pulses_names_itself(event_of: Callable[..., Event]) -> None:
    added = {"SplitInIcePulses": mask_object("InIcePulses", event_of(20).pulses)}
    with pytest.raises(EventError, match=r"frame P/SplitInIcePulses, byte .* the mask is for"):
        read_event(change(write_event(event_of(60)), "P", lambda objects: {**objects, **added}))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"event_type": "GRB"}, "type"),
        ({"run_id": -1}, "32-bit"),
        ({"event_id": 2**32}, "32-bit"),
        ({"mjd": math.nan}, "MJD"),
        ({"recos": {"I3EventHeader": Particle(0, 0, 0, 0, 0, 0)}}, "cannot be called"),
    ],
)
def test_events_that_cannot_be_written(
    event_of: Callable[..., Event], changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(EventError, match=reason):
        write_event(dataclasses.replace(event_of(), **changes))


def test_an_event_has_pulses(event_of: Callable[..., Event]) -> None:
    event = event_of()
    empty = event.pulses.select(np.zeros(len(event.pulses), dtype=bool))
    with pytest.raises(EventError, match="pulses"):
        write_event(dataclasses.replace(event, pulses=empty))
