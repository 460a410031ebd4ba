"""SuperDST: the detector's compressed pulses.

The format of ``I3SuperDST.cxx`` (icecube/icetray-public). Version 1: a *readout* is a run of pulses of one
DOM and one kind (with or without local coincidence), ordered by the time of its first pulse. A 16-bit header
names the DOM, then every pulse is a 16-bit stamp: 8 bits of time since the stamp before, 6 bits of charge,
the coincidence bit and a bit that ends the readout. Codes that are full continue in whole 16-bit words.
Widths are powers of two in four run-length coded streams; the charges of surface DOMs have 8 more bits in a
stream of their own. Times are good to ±0.5 ns, charges to ±0.025 PE. Version 0 (2011) counts in 4 ns and
0.15 PE, continues a full code in one word of 15 bits, and knows neither widths nor charges of the surface.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from scanner.events.archive import ArchiveReader
from scanner.events.pulsemap import MAX_PULSES, PULSE, PulseMap

__all__ = ["read_superdst"]

_EARLIEST = -512  # ns, the time from which the first readout counts
_FULL_WORD = 0xFFFF
_FULL_CHARGE = 63
_FULL_TIME = 255
_FULL_FIRST_TIME = 2047  # the first stamp has three more bits of time in the header
_IN_ICE_OMS = 60
_HLC_FLAGS, _SLC_FLAGS = 7, 4  # FADC always; local coincidence and ATWD together
_TICK_0, _CHARGE_0 = 4.0, 0.15  # ns and PE, in version 0
_SIZE_TAGS = 247  # from here on the tag of a size tells how many bytes hold it

_Pulse = tuple[float, float, float, int]  # time, charge, width, flags


def read_superdst(archive: ArchiveReader) -> PulseMap:
    """Read and expand an ``I3SuperDST``; `EventError` when any stream is not used up exactly."""
    if archive.begin("I3SuperDST", (0, 1)) == 0:
        return _read_version_0(archive)
    stamps = _compact_vector(archive, "ChargeStamp", 2)
    headers = _compact_vector(archive, "DOMHeader", 2)
    widths = [_run_lengths(archive) for _ in range(4)]
    extra = _compact_vector(archive, "uint8_t", 1)
    if len(stamps) > MAX_PULSES:
        raise archive.error(f"{len(stamps)} stamps are more than an event can hold ({MAX_PULSES})")
    streams = _Streams(archive, iter(stamps), [iter(codes) for codes in widths], iter(extra))
    doms: dict[tuple[int, int], list[_Pulse]] = {}
    start = float(_EARLIEST)
    for header in headers:
        string, om = header >> 6 & 0x7F, (header & 0x3F) + 1
        pulses = streams.readout(start, header >> 13, om > _IN_ICE_OMS)
        start = pulses[0][0]
        doms.setdefault((string, om), []).extend(pulses)
    streams.finish()
    archive.finish()
    return _to_map(doms)


@dataclass
class _Streams:
    """The streams of a SuperDST, read in step."""

    archive: ArchiveReader
    stamps: Iterator[int]
    widths: list[Iterator[int]]  # in the ice without and with coincidence, on the surface likewise
    extra: Iterator[int]

    def readout(self, start: float, slop: int, surface: bool) -> list[_Pulse]:
        """The pulses of the next readout; ``slop`` holds the upper bits of its first time."""
        stamp = self._stamp()
        hlc = stamp >> 14 & 1
        time = start + self._code(stamp & 0xFF | slop << 8, _FULL_FIRST_TIME)
        charge = self._surface_charge(stamp) if surface else self._charge(stamp)
        widths = self.widths[2 * surface + hlc]
        flags = _HLC_FLAGS if hlc else _SLC_FLAGS
        pulses = [(time, charge, self._width(widths), flags)]
        while not stamp >> 15:
            stamp = self._stamp()
            if surface or stamp >> 14 & 1 != hlc:
                raise self.archive.error("a readout of SuperDST changes its kind")
            time += self._code(stamp & 0xFF, _FULL_TIME)
            pulses.append((time, self._charge(stamp), self._width(widths), flags))
        return pulses

    def finish(self) -> None:
        """Check that every stream is used up."""
        names = ["stamps", "in-ice SLC widths", "in-ice HLC widths", "surface SLC widths",
                 "surface HLC widths", "surface charges"]
        for name, stream in zip(names, [self.stamps, *self.widths, self.extra], strict=True):
            if next(stream, None) is not None:
                raise self.archive.error(f"SuperDST has {name} left over")

    def _stamp(self) -> int:
        return self._next(self.stamps, "stamps")

    def _code(self, code: int, full: int) -> int:
        """A code; where it is full, whole words follow until one is not."""
        if code < full:
            return code
        word = _FULL_WORD
        while word == _FULL_WORD:
            word = self._stamp()
            code += word
        return code

    def _charge(self, stamp: int) -> float:
        return 0.05 * self._code(stamp >> 8 & 0x3F, _FULL_CHARGE) + 0.025

    def _surface_charge(self, stamp: int) -> float:
        code = stamp >> 8 & 0x3F | self._next(self.extra, "surface charges") << 6
        return 10.0 ** (code * 9 / 16383 - 2)

    def _width(self, codes: Iterator[int]) -> float:
        return float(1 << self._next(codes, "widths"))

    def _next(self, stream: Iterator[int], name: str) -> int:
        value = next(stream, None)
        if value is None:
            raise self.archive.error(f"SuperDST ends before its last readout: no {name} left")
        return value


def _read_version_0(archive: ArchiveReader) -> PulseMap:
    stamps = archive.array(np.dtype("<u2"), archive.u16()).tolist()
    headers = archive.array(np.dtype("<u2"), sum(stamp >> 15 for stamp in stamps)).tolist()
    archive.finish()
    doms: dict[tuple[int, int], list[_Pulse]] = {}
    left, start = iter(stamps), float(_EARLIEST)
    for header in headers:
        pulses = _readout_0(archive, left, start, header >> 13)
        start = pulses[0][0]
        doms.setdefault((header >> 6 & 0x7F, (header & 0x3F) + 1), []).extend(pulses)
    if next(left, None) is not None:
        raise archive.error("SuperDST has stamps left over")
    return _to_map(doms)


def _readout_0(archive: ArchiveReader, stamps: Iterator[int], start: float, slop: int) -> list[_Pulse]:
    """The pulses of one readout of version 0; the last word of a pulse says whether it is the last."""
    pulses: list[_Pulse] = []
    time, flags, word = start, _SLC_FLAGS, 0
    while not word >> 15:
        word = stamp = next(stamps, 1 << 15)
        ticks, charge = stamp & 0xFF, stamp >> 8 & 0x3F
        if not pulses:
            ticks |= slop << 8
            flags = _HLC_FLAGS if stamp >> 14 & 1 else _SLC_FLAGS
            if ticks == _FULL_FIRST_TIME:
                word = next(stamps, 1 << 15)
                ticks += word & 0x7FFF
        elif (stamp >> 14 & 1) != (flags == _HLC_FLAGS):
            raise archive.error("a readout of SuperDST changes its kind")
        if charge == _FULL_CHARGE:
            word = next(stamps, 1 << 15)
            charge += word & 0x7FFF
        time += _TICK_0 * ticks
        pulses.append((time, _CHARGE_0 * charge, _TICK_0, flags))
    return pulses


def _compact_vector(archive: ArchiveReader, item: str, item_size: int) -> list[int]:
    """A vector whose size takes one byte where that is enough."""
    archive.class_info(f"CompactVector<{item}>")
    archive.class_info("SizeCodec")
    tag = archive.u8()
    size = tag if tag < _SIZE_TAGS else int.from_bytes(archive.raw(255 - tag), "little")
    if size > 2 * MAX_PULSES:
        raise archive.error(f"{size} items are more than an event can hold")
    if size * item_size > archive.remaining:
        raise archive.error(f"{size} items do not fit into {archive.remaining} bytes")
    return archive.array(np.dtype(f"<u{item_size}"), size).tolist()


def _run_lengths(archive: ArchiveReader) -> list[int]:
    """Codes of four bits; successive bytes of one code hold the length of its run, lowest bits first."""
    codes: list[int] = []
    for code, group in groupby(_compact_vector(archive, "uint8_t", 1), key=lambda byte: byte & 0xF):
        length = 0
        for place, byte in enumerate(group):
            length |= byte >> 4 << 4 * place
            if len(codes) + length > MAX_PULSES:
                raise archive.error(f"a run of widths exceeds what an event can hold ({MAX_PULSES})")
        codes += [code] * length
    return codes


def _to_map(doms: dict[tuple[int, int], list[_Pulse]]) -> PulseMap:
    keys = sorted(doms)
    pulses = [pulse for key in keys for pulse in _without_overlap(doms[key])]
    return PulseMap(np.array([(*key, 0) for key in keys], dtype=np.int32).reshape(-1, 3),
                    np.array([len(doms[key]) for key in keys], dtype=np.int64),
                    np.array(pulses, dtype=PULSE))


def _without_overlap(pulses: list[_Pulse]) -> list[_Pulse]:
    """Sort the pulses of one DOM and end each where the next begins, as icetray does to the digit.

    A pulse that would be left with no width, because its successor has the same time, shares the width of its
    predecessor (the very first with its successor) and moves to the middle of it.
    """
    pulses = sorted(pulses, key=lambda pulse: pulse[0])
    times = [pulse[0] for pulse in pulses]
    widths = [pulse[2] for pulse in pulses]
    owed = False  # the first pulse still lacks a width
    for i in range(len(pulses) - 1):
        widths[i] = min(widths[i], times[i + 1] - times[i])
        if i == 0:
            owed = widths[0] == 0
        elif owed or widths[i] == 0:
            _share(times, widths, i)
            owed = False
    if owed:
        _share(times, widths, len(pulses) - 1)
    return [(t, p[1], w, p[3]) for t, w, p in zip(times, widths, pulses, strict=True)]


def _share(times: list[float], widths: list[float], i: int) -> None:
    """Divide one width between a pulse and its predecessor."""
    half = (widths[i - 1] or widths[i]) / 2
    widths[i - 1] = widths[i] = half
    times[i] = times[i - 1] + half
