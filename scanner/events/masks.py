"""Pulse masks: which pulses of another map of the frame survived a cleaning.

``I3RecoPulseSeriesMapMask`` (icecube/icetray-public) names its source and holds one bit for every DOM of
the source, in order, and for every DOM that is set one bit for each of its pulses. Sources may be masks
themselves; the bits count what the source *keeps*, so a chain is resolved from its root.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scanner.events.archive import ArchiveReader, ArchiveWriter
from scanner.events.pulsemap import MAX_PULSES, PulseMap

__all__ = ["Mask", "apply_mask", "keep_all", "read_mask", "write_mask"]

_CLASS = "I3RecoPulseSeriesMapMask"
_VERSION = 2
_BITS = "I3RecoPulseSeriesMapMask::bitmask"
_BITS_VECTOR = "vector<bitmask>"


@dataclass(frozen=True)
class Mask:
    """Bits over the map that stands in the frame under ``source``."""

    source: str
    doms: np.ndarray  # bool, one for each DOM of the source
    pulses: tuple[np.ndarray, ...]  # bool, for each set DOM one array over its pulses


def read_mask(archive: ArchiveReader) -> Mask:
    """Read a mask; `EventError` when the bytes are not one."""
    version = archive.begin(_CLASS, range(_VERSION + 1))
    source = archive.string()
    if version == 1:
        archive.f32()  # a reference time
    doms = _read_bits(archive)
    archive.class_info(_BITS_VECTOR)
    count = archive.count(3)
    if version == 0 and not count and len(doms) == 64 and doms.all():
        doms = doms[:0]  # how that version wrote a mask of nothing
    if count != np.count_nonzero(doms):
        raise archive.error(f"the mask holds bits of {count} DOMs but keeps {np.count_nonzero(doms)}")
    pulses = tuple(_read_bits(archive) for _ in range(count))
    archive.finish()
    return Mask(source, doms, pulses)


def write_mask(mask: Mask) -> bytes:
    """The bytes of a mask."""
    archive = ArchiveWriter()
    archive.begin(_CLASS, _VERSION)
    archive.string(mask.source)
    _write_bits(archive, mask.doms)
    archive.class_info(_BITS_VECTOR)
    archive.u32(len(mask.pulses))
    for bits in mask.pulses:
        _write_bits(archive, bits)
    return archive.finish()


def apply_mask(mask: Mask, source: PulseMap) -> PulseMap:
    """The pulses of ``source`` that the mask keeps.

    Raises
    ------
    ValueError
        When the mask was not made for a map with these DOMs and numbers of pulses.
    """
    if len(mask.doms) != len(source.counts):
        raise ValueError(f"the mask is for {len(mask.doms)} DOMs, {mask.source} has {len(source.counts)}")
    kept = source.counts[mask.doms]
    lengths = np.array([len(bits) for bits in mask.pulses], dtype=np.int64)
    if not np.array_equal(kept, lengths):
        raise ValueError(f"the mask's numbers of pulses are not those of {mask.source}")
    keep = np.repeat(mask.doms, source.counts)
    if mask.pulses:
        keep[keep] = np.concatenate(mask.pulses)
    return source.select(keep)


def keep_all(source_key: str, source: PulseMap) -> Mask:
    """The mask that keeps every pulse of a map."""
    return Mask(source_key, np.ones(len(source.counts), dtype=bool),
                tuple(np.ones(count, dtype=bool) for count in source.counts))


def _read_bits(archive: ArchiveReader) -> np.ndarray:
    archive.class_info(_BITS)
    n_bytes, padding = archive.u16(), archive.u8()
    size = 8 * n_bytes - padding
    if not 0 <= size <= MAX_PULSES:
        raise archive.error(f"a mask of {n_bytes} bytes cannot have {padding} bits of padding")
    raw = np.frombuffer(archive.raw(n_bytes), dtype=np.uint8)
    return np.unpackbits(raw, count=size, bitorder="little").astype(bool)


def _write_bits(archive: ArchiveWriter, bits: np.ndarray) -> None:
    archive.class_info(_BITS)
    raw = np.packbits(bits, bitorder="little").tobytes()
    archive.u16(len(raw))
    archive.u8(8 * len(raw) - len(bits))
    archive.raw(raw)
