"""Rows of tables as columns of lanes, against plain indexing."""

from __future__ import annotations

import numpy as np
import pytest

from scanner.common.compiled import fast_kernel
from scanner.common.lanes import LANES, blended_columns, columns4, columns8, columns16, scratch

_first, _room, _weights = scratch(1, np.int32), scratch(32, np.float32), scratch(8, np.float32)
STRIDE = np.int32(100)
TABLE = np.random.default_rng(1).normal(size=1000).astype(np.float32)
FIRST = np.random.default_rng(2).integers(0, 600, LANES).astype(np.int32)
EXPECTED = np.array([[TABLE[first + k] for first in FIRST] for k in range(16)])


@fast_kernel
def _copy(rows, out):
    for k in range(len(out)):
        for lane in range(LANES):
            out[k, lane] = rows[k, lane]


@fast_kernel
def _columns(table, first, out4, out8, out16):
    start, room = _first(), _room()
    for lane in range(LANES):
        start[0, lane] = first[lane]
    columns4(table, start, room)
    _copy(room, out4)
    columns8(table, start, room)
    _copy(room, out8)
    columns16(table, start, room)
    _copy(room, out16)


@fast_kernel
def _blended(table, first, weights, out):
    start, room, held = _first(), _room(), _weights()
    for lane in range(LANES):
        start[0, lane] = first[lane]
        for k in range(8):
            held[k, lane] = weights[k, lane]
    blended_columns(table, start, STRIDE, held, room)
    _copy(room, out)


def test_columns_are_what_indexing_gives() -> None:
    outs = [np.zeros((width, LANES), np.float32) for width in (4, 8, 16)]
    _columns(TABLE, FIRST, *outs)
    for out in outs:
        assert (out == EXPECTED[: len(out)]).all()


def test_blended_columns_are_weighted_sums() -> None:
    weights = np.random.default_rng(3).normal(size=(8, LANES)).astype(np.float32)
    out = np.zeros((32, LANES), np.float32)
    _blended(TABLE, FIRST, weights, out)
    rows = np.array([[TABLE[FIRST + 100 * j + k] for k in range(16)] for j in range(4)])
    for half in range(2):
        expected = (weights[4 * half : 4 * half + 4, None] * rows).sum(axis=0)
        assert out[16 * half : 16 * half + 16] == pytest.approx(expected, abs=1e-5)


def test_python_alone_cannot_call_them() -> None:
    with pytest.raises(NotImplementedError, match="columns4"):
        columns4(TABLE, FIRST, TABLE)
