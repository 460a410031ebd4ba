"""Damage at every level: whatever comes in, the reader answers with an event or an `EventError`."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import resource
import time
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.common.errors import EventError
from scanner.events.event import Event
from scanner.events.frame import Frame, FrameObject, encode_frame
from scanner.events.i3live import read_event, read_frames
from scanner.events.pickles import frame_to_pickle
from scanner.events.writer import write_event

Edit = tuple[str, float, bytes]
edits = st.lists(
    st.tuples(
        st.sampled_from(["replace", "insert", "cut", "end"]),
        st.floats(0, 1, exclude_max=True),
        st.binary(min_size=1, max_size=5),
    ),
    min_size=1,
    max_size=3,
)


def damaged(data: bytes, changes: list[Edit]) -> bytes:
    for kind, place, new in changes:
        at = int(place * len(data))
        if kind == "replace":
            data = data[:at] + new + data[at + len(new) :]
        elif kind == "insert":
            data = data[:at] + new + data[at:]
        elif kind == "cut":
            data = data[:at] + data[at + len(new) :]
        else:
            data = data[:at]
    return data


def survives(source: object) -> None:
    with contextlib.suppress(EventError):
        read_event(source)  # type: ignore[arg-type]


def packed(stop: str, pickled: bytes) -> list[str]:
    return [stop, base64.b64encode(zlib.compress(pickled, 1)).decode()]


@given(edits)
def test_text(event_of: Callable[..., Event], changes: list[Edit]) -> None:
    survives(damaged(json.dumps(write_event(event_of(20))).encode(), changes))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["value", "data", "frames", "GCDQp_packet"]) | st.text(max_size=3), inner
            )
        ),
    )
)
def test_any_json(document: object) -> None:
    survives(json.dumps(document).encode())
    if isinstance(document, dict):
        survives(document)


@given(st.sampled_from([3, 4]), edits, st.booleans())
def test_pickles(event_of: Callable[..., Event], number: int, changes: list[Edit], frame_only: bool) -> None:
    frames = write_event(event_of(20))["value"]["data"]["frames"]
    stop, text = frames[number]
    pickled = zlib.decompress(base64.b64decode(text))
    if frame_only:
        pickled = frame_to_pickle(b"[i3]" + damaged(pickled, changes))
    else:
        pickled = damaged(pickled, changes)
    frames[number] = packed(stop, pickled)
    survives({"value": {"data": frames}})


@given(st.data(), edits)
def test_objects(event_of: Callable[..., Event], data: st.DataObject, changes: list[Edit]) -> None:
    frames = read_frames(write_event(event_of(20)))
    number = data.draw(st.sampled_from([3, 4]))
    objects = dict(frames[number].objects)
    key = data.draw(st.sampled_from(sorted(objects)))
    objects[key] = FrameObject(objects[key].type_name, damaged(objects[key].data, changes))
    frames[number] = Frame(frames[number].stop, objects)
    survives(
        {"value": {"data": [packed(frame.stop, frame_to_pickle(encode_frame(frame))) for frame in frames]}}
    )


MUTATED_FRAMES, SLOWEST, MOST_MEMORY = 50_000, 2.0, 500 << 10  # frames, CPU seconds, KiB


def mutated(rng: random.Random, data: bytes) -> bytes:
    changes = [(rng.choice(["replace", "replace", "insert", "cut", "end"]), rng.random(), rng.randbytes(
        rng.randint(1, 5))) for _ in range(rng.randint(1, 3))]
    return damaged(data, changes)


def frames_one_by_one(event: Event, count: int, seed: int) -> tuple[float, int]:
    """Read so many events with one damaged frame each; the slowest in CPU seconds, and memory in KiB."""
    rng = random.Random(seed)
    frames = read_frames(write_event(event))
    whole = [packed(frame.stop, frame_to_pickle(encode_frame(frame))) for frame in frames]
    before, slowest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0.0
    for _ in range(count):
        number = rng.choice([3, 4])
        frame = frames[number]
        if rng.random() < 0.3:  # anywhere in the frame; else within an object, the checksum repaired
            data = mutated(rng, encode_frame(frame))
        else:
            key = rng.choice(sorted(frame.objects))
            item = frame.objects[key]
            changed = FrameObject(item.type_name, mutated(rng, item.data))
            data = encode_frame(Frame(frame.stop, {**frame.objects, key: changed}))
        pairs = [*whole[:number], packed(frame.stop, frame_to_pickle(data)), *whole[number + 1:]]
        start = time.process_time()
        survives({"value": {"data": pairs}})
        slowest = max(slowest, time.process_time() - start)
    return slowest, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def test_some_mutated_frames(event_of: Callable[..., Event]) -> None:
    frames_one_by_one(event_of(20), 300, seed=1)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_many_mutated_frames(event_of: Callable[..., Event]) -> None:
    slowest, memory = frames_one_by_one(event_of(20), MUTATED_FRAMES, seed=2)
    assert slowest < SLOWEST
    assert memory < MOST_MEMORY
