"""Objects of a frame: what is written is read back, and no byte may be missing."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.common.errors import EventError
from scanner.events import i3objects
from scanner.events.archive import ArchiveReader, ArchiveWriter
from scanner.events.event import Particle, Pulses
from scanner.events.i3objects import EventHeader
from scanner.events.i3time import I3Time
from scanner.events.pulsemap import PULSE, PulseMap

finite = st.floats(allow_nan=False)
uint32 = st.integers(0, 2**32 - 1)


@given(
    st.builds(
        Particle,
        finite,
        finite,
        finite,
        finite,
        finite,
        finite,
        finite,
        st.sampled_from(["track", "cascade"]),
        st.integers(-(2**31), 2**31 - 1),
    )
)
def test_particles(particle: Particle) -> None:
    data = i3objects.write_particle(particle)
    assert len(data) == 150
    assert i3objects.read_particle(ArchiveReader(data)) == particle


def test_a_particle_is_a_track_or_a_cascade() -> None:
    with pytest.raises(EventError, match="'blob'"):
        i3objects.write_particle(Particle(0, 0, 0, 0, 0, 0, shape="blob"))


@given(uint32, uint32, uint32, st.text(max_size=10))
def test_headers(run: int, subrun: int, event: int, splitter: str) -> None:
    header = EventHeader(run, subrun, event, I3Time(2023, 1), I3Time(2023, 2))
    data = i3objects.write_header(header, splitter)
    assert i3objects.read_header(ArchiveReader(data)) == header


@given(st.text(max_size=30))
def test_strings(text: str) -> None:
    assert i3objects.read_string(ArchiveReader(i3objects.write_string(text))) == text


@given(finite, finite)
def test_time_windows(start: float, stop: float) -> None:
    assert i3objects.read_time_window(ArchiveReader(i3objects.write_time_window(start, stop))) == (
        start,
        stop,
    )


def test_windows_by_dom() -> None:
    archive = ArchiveWriter()
    archive.begin("I3TimeWindowSeriesMap")
    archive.class_info("map")
    archive.u32(2)
    for om in (10, 11):
        archive.class_info("pair")
        archive.class_info("OMKey", tracked=True, version=2)
        archive.i32(26)
        archive.u32(om)
        archive.u8(0)
        archive.class_info("I3TimeWindowSeries", tracked=True, version=1)
        archive.base()
        archive.class_info("vector")
        archive.u32(1)
        archive.class_info("I3TimeWindow", tracked=True, version=1)
        archive.base()
        archive.f64(100.0 * om)
        archive.f64(200.0 * om)
    data = archive.finish()
    windows = {(26, 10): ((1000.0, 2000.0),), (26, 11): ((1100.0, 2200.0),)}
    assert i3objects.read_time_windows(ArchiveReader(data)) == windows
    assert i3objects.write_time_windows(windows) == data


@given(st.integers(1, 40), st.integers(0, 1000))
def test_pulse_maps(pulses_of: Callable[..., Pulses], n: int, seed: int) -> None:
    pulses = pulses_of(n, seed)
    data = i3objects.write_pulse_map(PulseMap.from_pulses(pulses))
    read = i3objects.read_pulse_map(ArchiveReader(data)).to_pulses()
    for name in Pulses.__dataclass_fields__:
        assert getattr(read, name).dtype == getattr(pulses, name).dtype
        np.testing.assert_array_equal(getattr(read, name), getattr(pulses, name))


def test_a_dom_may_have_no_pulses() -> None:
    keys = np.array([(1, 2, 0), (3, 4, 0)])
    source = PulseMap(keys, np.array([0, 1]), np.array([(5.0, 1.0, 2.0, 7)], dtype=PULSE))
    read = i3objects.read_pulse_map(ArchiveReader(i3objects.write_pulse_map(source)))
    assert read.counts.tolist() == [0, 1]
    assert read.to_pulses().string.tolist() == [3]


def test_doms_out_of_order_are_refused() -> None:
    keys = np.array([(3, 4, 0), (1, 2, 0)])
    source = PulseMap(keys, np.array([0, 0]), np.empty(0, dtype=PULSE))
    with pytest.raises(EventError, match="not in order"):
        i3objects.read_pulse_map(ArchiveReader(i3objects.write_pulse_map(source)))


def test_pulses_need_not_be_sorted() -> None:
    def column(values: list[float], dtype: str) -> np.ndarray:
        return np.array(values, dtype=dtype)

    pulses = Pulses(
        column([2, 1, 2], "i2"),
        column([1, 1, 1], "i2"),
        column([5, 9, 4], "f8"),
        column([1, 2, 3], "f4"),
        column([1, 1, 1], "f4"),
        column([7, 7, 7], "u1"),
    )
    read = PulseMap.from_pulses(pulses).to_pulses()
    assert read.time.tolist() == [9.0, 4.0, 5.0]
    assert read.charge.tolist() == [2.0, 3.0, 1.0]


@pytest.mark.parametrize(
    ("data", "read"),
    [
        (i3objects.write_particle(Particle(1, 2, 3, 4, 5, 6, math.nan)), i3objects.read_particle),
        (
            i3objects.write_header(EventHeader(1, 2, 3, I3Time(2020, 4), I3Time(2020, 5))),
            i3objects.read_header,
        ),
        (i3objects.write_time_window(0, 1), i3objects.read_time_window),
    ],
)
def test_every_byte_is_needed(data: bytes, read: Callable[[ArchiveReader], object]) -> None:
    for length in range(len(data)):
        with pytest.raises(EventError):
            read(ArchiveReader(data[:length]))
    with pytest.raises(EventError, match="left over"):
        read(ArchiveReader(data + b"\0"))
