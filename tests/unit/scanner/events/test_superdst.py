"""SuperDST: an encoder written for the test, and readouts by hand."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.common.errors import EventError
from scanner.events.archive import ArchiveReader, ArchiveWriter
from scanner.events.pulsemap import PulseMap
from scanner.events.superdst import read_superdst


@dataclass(frozen=True)
class Readout:
    """A run of pulses of one DOM: (ns since the one before, charge code, width code)."""

    string: int
    om: int
    hlc: bool
    stamps: tuple[tuple[int, int, int], ...]


def overflow(code: int, full: int) -> list[int]:
    """The words after a stamp whose code is full."""
    if code < full:
        return []
    words, rest = [], code - full
    while rest >= 0xFFFF:
        words.append(0xFFFF)
        rest -= 0xFFFF
    return [*words, rest]


def runs(codes: list[int]) -> bytes:
    """Run lengths in nibbles, lowest first."""
    out = bytearray()
    while codes:
        length = next((i for i, code in enumerate(codes) if code != codes[0]), len(codes))
        code, codes = codes[0], codes[length:]
        while length:
            out.append((length & 0xF) << 4 | code)
            length >>= 4
    return bytes(out)


def encode(readouts: list[Readout]) -> bytes:
    stamps: list[int] = []
    headers: list[int] = []
    widths: list[list[int]] = [[], [], [], []]
    extra = bytearray()
    for readout in readouts:
        surface = readout.om > 60
        for i, (time, charge, width) in enumerate(readout.stamps):
            full_time = 2047 if i == 0 else 255
            if i == 0:
                headers.append(readout.string << 6 | readout.om - 1 | min(time, full_time) >> 8 << 13)
            if surface:
                extra.append(charge >> 6)
            code = charge & 63 if surface else min(charge, 63)
            stop = i == len(readout.stamps) - 1
            stamps.append(min(time, full_time) & 0xFF | code << 8 | readout.hlc << 14 | stop << 15)
            stamps += overflow(time, full_time) + ([] if surface else overflow(charge, 63))
            widths[2 * surface + readout.hlc].append(width)
    return pack(
        struct.pack(f"<{len(stamps)}H", *stamps),
        struct.pack(f"<{len(headers)}H", *headers),
        [runs(codes) for codes in widths],
        bytes(extra),
    )


def pack(stamps: bytes, headers: bytes, widths: list[bytes], extra: bytes) -> bytes:
    archive = ArchiveWriter()
    archive.begin("I3SuperDST", 1)
    for name, size, data in [
        ("ChargeStamp", 2, stamps),
        ("DOMHeader", 2, headers),
        *[("uint8_t", 1, codes) for codes in widths],
        ("uint8_t", 1, extra),
    ]:
        archive.class_info(f"CompactVector<{name}>")
        archive.class_info("SizeCodec")
        count = len(data) // size
        if count < 247:
            archive.u8(count)
        else:
            n_bytes = (count.bit_length() + 7) // 8
            archive.u8(255 - n_bytes)
            archive.raw(count.to_bytes(n_bytes, "little"))
        archive.raw(data)
    return archive.finish()


def decode(data: bytes) -> PulseMap:
    return read_superdst(ArchiveReader(data, "Q/I3SuperDST"))


def expected(readouts: list[Readout]) -> dict[tuple[int, int], list[tuple[float, float, int]]]:
    """Times, charges and flags by DOM, sorted by time."""
    doms: dict[tuple[int, int], list[tuple[float, float, int]]] = {}
    start = -512
    for readout in readouts:
        time = start
        for i, (delta, code, _) in enumerate(readout.stamps):
            time += delta
            if i == 0:
                start = time
            charge = 10 ** (code * 9 / 16383 - 2) if readout.om > 60 else 0.05 * code + 0.025
            pulses = doms.setdefault((readout.string, readout.om), [])
            pulses.append((time, np.float32(charge), 7 if readout.hlc else 4))
    return {key: sorted(pulses, key=lambda pulse: pulse[0]) for key, pulses in doms.items()}


in_ice = st.builds(
    Readout,
    st.integers(1, 86),
    st.integers(1, 60),
    st.booleans(),
    st.lists(
        st.tuples(
            st.integers(1, 300) | st.integers(60_000, 200_000),
            st.integers(0, 90) | st.just(70_000),
            st.integers(0, 12),
        ),
        min_size=1,
        max_size=5,
    ).map(tuple),
)
surface = st.builds(
    Readout,
    st.integers(1, 81),
    st.integers(61, 64),
    st.booleans(),
    st.tuples(st.tuples(st.integers(1, 5000), st.integers(0, 16383), st.integers(0, 12))),
)


@given(st.lists(in_ice | surface, max_size=12))
def test_round_trip(readouts: list[Readout]) -> None:
    pulse_map = decode(encode(readouts))
    found = pulse_map.pulses
    stop = 0
    want = expected(readouts)
    assert [tuple(key) for key in pulse_map.keys[:, :2].tolist()] == sorted(want)
    for key, count in zip(sorted(want), pulse_map.counts, strict=True):
        start, stop = stop, stop + count
        mine = found[start:stop]
        times = [pulse[0] for pulse in want[key]]
        assert sorted(mine["charge"]) == sorted(pulse[1] for pulse in want[key])
        assert sorted(mine["flags"]) == sorted(pulse[2] for pulse in want[key])
        if len(set(times)) == len(times):  # equal times are moved apart
            assert mine["time"].tolist() == times
        assert (mine["time"][:-1] + mine["width"][:-1] <= mine["time"][1:]).all()
        assert (mine["width"] > 0).all()


def test_one_readout_by_hand() -> None:
    # string 21, OM 30; 1000 ns = 3 << 8 | 232; charge code 10; HLC; the only stamp; width code 3
    stamp = 232 | 10 << 8 | 1 << 14 | 1 << 15
    header = 21 << 6 | 29 | 3 << 13
    data = pack(struct.pack("<H", stamp), struct.pack("<H", header), [b"", b"\x13", b"", b""], b"")
    pulse_map = decode(data)
    assert pulse_map.keys.tolist() == [[21, 30, 0]]
    assert pulse_map.pulses.tolist() == [(488.0, np.float32(0.525), 8.0, 7)]


def pulses_at(deltas: list[int], width: int = 3) -> list[tuple[float, float]]:
    """Times and widths of one DOM's pulses, decoded; the first delta counts from −512 ns."""
    readout = Readout(1, 1, True, tuple((delta, 5, width) for delta in deltas))
    found = decode(encode([readout])).pulses
    return list(zip(found["time"].tolist(), found["width"].tolist(), strict=True))


def test_a_pulse_ends_where_the_next_begins() -> None:
    assert pulses_at([512, 3, 20]) == [(0.0, 3.0), (3.0, 8.0), (23.0, 8.0)]


def test_two_pulses_at_one_time_share_the_width_of_the_second() -> None:
    assert pulses_at([512, 0]) == [(0.0, 4.0), (4.0, 4.0)]


def test_a_pulse_without_width_shares_that_of_the_one_before() -> None:
    assert pulses_at([512, 6, 0]) == [(0.0, 3.0), (3.0, 3.0), (6.0, 8.0)]


def test_the_first_pulse_waits_for_the_second() -> None:
    assert pulses_at([512, 0, 20]) == [(0.0, 4.0), (4.0, 4.0), (20.0, 8.0)]


GOOD = [Readout(5, 6, True, ((1, 2, 3), (4, 5, 6))), Readout(5, 61, False, ((1, 700, 3),))]


@pytest.mark.parametrize(
    ("stream", "reason"),
    [
        (0, "stamps left over"),
        (2, "in-ice SLC widths left over"),
        (3, "in-ice HLC widths left over"),
        (4, "surface SLC widths left over"),
        (5, "surface HLC widths left over"),
        (6, "surface charges left over"),
    ],
)
def test_streams_must_be_used_up(stream: int, reason: str) -> None:
    streams = [b"\x01\x80", b"\x45\x01", b"\x11", b"", b"", b"", b""]
    streams[stream] += b"\x11" * (2 if stream == 0 else 1)
    with pytest.raises(EventError, match=reason):
        decode(pack(streams[0], streams[1], streams[2:6], streams[6]))


@pytest.mark.parametrize(
    ("widths", "stamp", "reason"),
    [
        (b"", 0x8001, "no widths left"),
        (b"\x11", 0x0001, "no stamps left"),
        (b"\x11", 0xBF01, "no stamps left"),  # a full charge code needs one more word
    ],
)
def test_streams_must_not_end_early(widths: bytes, stamp: int, reason: str) -> None:
    with pytest.raises(EventError, match=reason):
        decode(pack(struct.pack("<H", stamp), b"\x45\x01", [widths, b"", b"", b""], b""))


def test_a_readout_is_of_one_kind() -> None:
    with pytest.raises(EventError, match="changes its kind"):
        decode(pack(struct.pack("<2H", 0x0001, 0xC001), b"\x45\x01", [b"\x21", b"", b"", b""], b""))


def test_a_run_cannot_fill_the_memory() -> None:
    with pytest.raises(EventError, match="exceeds what an event can hold"):
        decode(pack(b"", b"", [b"\xf1" * 200, b"", b"", b""], b""))


@pytest.mark.parametrize(("words", "reason"), [(150_000, "stamps are more"), (300_000, "items are more")])
def test_an_event_holds_so_many_pulses(words: int, reason: str) -> None:
    with pytest.raises(EventError, match=reason):
        decode(pack(b"\x01\x80" * words, b"", [b"", b"", b"", b""], b""))


def test_every_truncation_is_noticed() -> None:
    data = encode(GOOD)
    for length in range(len(data)):
        with pytest.raises(EventError):
            decode(data[:length])
