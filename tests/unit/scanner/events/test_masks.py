"""Masks: bits, chains and mismatches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.common.errors import EventError
from scanner.events.archive import ArchiveReader, ArchiveWriter
from scanner.events.event import Pulses
from scanner.events.masks import Mask, apply_mask, keep_all, read_mask, write_mask
from scanner.events.pulsemap import PulseMap


def random_mask(source: PulseMap, seed: int) -> Mask:
    random = np.random.default_rng(seed)
    doms = random.random(len(source.counts)) < 0.7
    return Mask("Source", doms, tuple(random.random(count) < 0.6 for count in source.counts[doms]))


@given(st.integers(0, 40), st.integers(0, 1000))
def test_round_trip(pulses_of: Callable[..., Pulses], n: int, seed: int) -> None:
    mask = random_mask(PulseMap.from_pulses(pulses_of(n, seed)), seed)
    read = read_mask(ArchiveReader(write_mask(mask)))
    assert read.source == "Source"
    np.testing.assert_array_equal(read.doms, mask.doms)
    assert [bits.tolist() for bits in read.pulses] == [bits.tolist() for bits in mask.pulses]


@given(st.integers(0, 40), st.integers(0, 1000))
def test_chains_keep_what_a_loop_keeps(pulses_of: Callable[..., Pulses], n: int, seed: int) -> None:
    source = PulseMap.from_pulses(pulses_of(n, seed))
    charges = {
        tuple(key): part.tolist()
        for key, part in zip(
            source.keys.tolist(), np.split(source.pulses["charge"], np.cumsum(source.counts)), strict=False
        )
    }
    for step in range(3):
        mask = random_mask(source, seed + step)
        bits = iter(mask.pulses)
        kept = {}
        for key, set_ in zip(charges, mask.doms, strict=True):
            if set_:
                kept[key] = [charge for charge, bit in zip(charges[key], next(bits), strict=True) if bit]
        charges = {key: values for key, values in kept.items() if values}
        source = apply_mask(mask, source)
    assert [tuple(key) for key in source.keys.tolist()] == list(charges)
    assert source.pulses["charge"].tolist() == [charge for values in charges.values() for charge in values]


def test_bits_by_hand() -> None:
    mask = Mask(
        "S",
        np.array([1, 0, 0, 0, 0, 0, 0, 0, 1], dtype=bool),
        (np.array([True]), np.array([False, True, True])),
    )
    preamble = ArchiveWriter()
    preamble.begin("I3RecoPulseSeriesMapMask", 2)
    assert write_mask(mask) == preamble.finish() + (
        b"\1\0\0\0S" + b"\0\0" + b"\2\0\7" + b"\x01\x01" + b"\0\0" + b"\2\0\0\0" + b"\1\0\7\1" + b"\1\0\5\6"
    )


def test_keep_all_keeps_all(pulses_of: Callable[..., Pulses]) -> None:
    source = PulseMap.from_pulses(pulses_of(30))
    np.testing.assert_array_equal(apply_mask(keep_all("S", source), source).pulses, source.pulses)


def test_mismatches_are_refused(pulses_of: Callable[..., Pulses]) -> None:
    source = PulseMap.from_pulses(pulses_of(30))
    doms = np.ones(len(source.counts), dtype=bool)
    with pytest.raises(ValueError, match="DOMs"):
        apply_mask(Mask("S", doms[1:], ()), source)
    wrong = tuple(np.ones(count + 1, dtype=bool) for count in source.counts)
    with pytest.raises(ValueError, match="numbers of pulses"):
        apply_mask(Mask("S", doms, wrong), source)


def test_damaged_masks() -> None:
    data = bytearray(write_mask(Mask("S", np.array([True]), (np.array([True]),))))
    for length in range(len(data)):
        with pytest.raises(EventError):
            read_mask(ArchiveReader(bytes(data[:length])))
    data[-2] = 9  # more padding than bits
    with pytest.raises(EventError, match="padding"):
        read_mask(ArchiveReader(bytes(data)))
    data = bytearray(write_mask(Mask("S", np.array([True]), ())))
    with pytest.raises(EventError, match="bits of 0 DOMs but keeps 1"):
        read_mask(ArchiveReader(bytes(data)))
