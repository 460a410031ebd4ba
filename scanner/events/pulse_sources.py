"""The pulses that stand behind a key of a frame: masks, unions and corrections, resolved to pulses."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from scanner.common.errors import EventError
from scanner.events.archive import ArchiveReader, exported_name
from scanner.events.frame import FrameObject
from scanner.events.i3objects import read_combined_source, read_corrected_source, read_pulse_map, read_sources
from scanner.events.masks import apply_mask, read_mask
from scanner.events.pulsemap import PULSE, PulseMap
from scanner.events.superdst import read_superdst
from scanner.events.typenames import class_of

__all__ = ["CLASSES", "CORRECTED", "kind_of", "pulse_map"]

_ROOTS: Mapping[str, Callable[[ArchiveReader], PulseMap]] = {
    "I3SuperDST": read_superdst, "I3RecoPulseSeriesMap": read_pulse_map}
_MASK, _UNION = "I3RecoPulseSeriesMapMask", "I3RecoPulseSeriesMapUnion"
CORRECTED = "I3RecoPulseSeriesMapApplySPECorrection"
_COMBINED = "I3RecoPulseSeriesMapCombineByModule"

CLASSES = frozenset([*_ROOTS, _MASK, _UNION, CORRECTED, _COMBINED])
"""Exported names of the classes that hold or name pulses."""

_OTHERS = frozenset(["I3EventHeader", "I3Particle", "I3String", "I3Double", "I3Bool", "I3Int",
                     "I3TimeWindowSeriesMap"])
_MOST_MAPS = 16  # that one key leads to


def kind_of(item: FrameObject) -> str:
    """The class of an object: by its type's name or, where that is none we know, by what stands in front."""
    name = class_of(item.type_name)
    if name in CLASSES or name in _OTHERS:
        return name
    return class_of(exported_name(item.data)) or name


def pulse_map(objects: Mapping[str, FrameObject], key: str, frame: str) -> PulseMap:
    """The pulses under a key; masks are applied from their root.

    Raises EventError, which names the object that is missing or damaged.
    """
    return _Resolver(objects, frame).resolve(key)


class _Resolver:
    def __init__(self, objects: Mapping[str, FrameObject], frame: str) -> None:
        self._objects = objects
        self._frame = frame
        self._seen = 0

    def resolve(self, key: str) -> PulseMap:
        if key not in self._objects:
            raise EventError(f"the packet has no {key[:80]!r}", frame=self._frame)
        item = self._objects[key]
        self._seen += 1
        if self._seen > _MOST_MAPS:
            raise _error(item, f"this chain of masks is longer than {_MOST_MAPS}, or a circle")
        kind = kind_of(item)
        if kind in _ROOTS:
            return _ROOTS[kind](_archive(item))
        if kind == _MASK:
            return self._masked(item)
        if kind == _UNION:
            return _united([self.resolve(source) for source in read_sources(_archive(item))])
        if kind == CORRECTED:
            return self.resolve(read_corrected_source(_archive(item)))
        if kind == _COMBINED:
            return _by_module(self.resolve(read_combined_source(_archive(item))))
        raise _error(item, f"{item.type_name[:80]} holds no pulses")

    def _masked(self, item: FrameObject) -> PulseMap:
        mask = read_mask(_archive(item))
        source = self.resolve(mask.source)
        try:
            return apply_mask(mask, source)
        except ValueError as error:
            raise _error(item, str(error)) from None


def _united(maps: list[PulseMap]) -> PulseMap:
    """All pulses of several maps, those of one PMT ordered by time."""
    if not maps:
        return _grouped(np.empty((0, 3), dtype=np.int64), np.empty(0, dtype=PULSE))
    keys = np.concatenate([np.repeat(one.keys, one.counts, axis=0) for one in maps])
    return _grouped(keys, np.concatenate([one.pulses for one in maps]))


def _by_module(source: PulseMap) -> PulseMap:
    """The pulses without the numbers of their PMTs."""
    keys = np.repeat(source.keys, source.counts, axis=0)
    keys[:, 2] = 0
    return _grouped(keys, source.pulses)


def _grouped(keys: np.ndarray, pulses: np.ndarray) -> PulseMap:
    order = np.lexsort((pulses["time"], *keys.T[::-1]))
    unique, counts = np.unique(keys[order], axis=0, return_counts=True)
    return PulseMap(unique, counts, pulses[order])


def _archive(item: FrameObject) -> ArchiveReader:
    return ArchiveReader(item.data, item.frame, item.offset)


def _error(item: FrameObject, reason: str) -> EventError:
    return EventError(reason, frame=item.frame, offset=item.offset)
