"""Sixteen modules at a time: rows of tables turned into columns of lanes, without gathers.

A look-up that needs several neighbours finds them side by side, if the table is laid out for it. So each
lane loads its row at once, and shuffles turn sixteen rows of so many numbers into so many rows of sixteen. A
gather would fetch every number by itself, which costs more than the arithmetic with it. Numba has no words
for shuffles, so these few functions are written in LLVM's. They know nothing of physics.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scanner.common.compiled import Lowered

__all__ = ["LANES", "blended_columns", "columns4", "columns8", "columns16", "mixed_columns", "scratch"]

LANES = 16
"""Modules that are treated together: single precision in one vector of AVX-512, two of AVX2, four of SSE."""
_STAGES = 4  # 2^4 lanes
_FAST = ("fast",)


def scratch(rows: int, dtype: type) -> Lowered:
    """A function that gives compiled code an uninitialised array (rows, LANES) on its stack.

    It must not leave the function that asked for it.
    """
    def typed(_: Any) -> Any:
        from numba import from_dtype, types

        return types.Array(from_dtype(np.dtype(dtype)), 2, "C")(), _stack_array

    def _stack_array(context: Any, builder: Any, signature: Any, _: Any) -> Any:
        from llvmlite import ir
        from numba.core import cgutils
        from numba.np import arrayobj

        kind, word = signature.return_type, ir.IntType(64)
        item, size = context.get_data_type(kind.dtype), np.dtype(dtype).itemsize
        with builder.goto_entry_block():
            place = builder.alloca(ir.ArrayType(item, rows * LANES))
            place.align = 64
        array = arrayobj.make_array(kind)(context, builder)
        arrayobj.populate_array(
            array, data=builder.bitcast(place, item.as_pointer()), itemsize=word(size), meminfo=None,
            shape=cgutils.pack_array(builder, [word(rows), word(LANES)]),
            strides=cgutils.pack_array(builder, [word(LANES * size), word(size)]))
        return array._getvalue()

    return Lowered("scratch", typed)


def _columns(width: int) -> Lowered:
    """out[k, lane] = table[first[0, lane] + k] for k < width; int32 (1, LANES), else float32."""
    def typed(_: Any, table: Any, first: Any, out: Any) -> Any:
        from numba import types

        return types.void(table, first, out), fill

    def fill(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        table, first, out = _pointers(context, builder, signature, arguments)
        rows = [_row(builder, table, _item(builder, first, lane), width) for lane in range(LANES)]
        _store(builder, _transposed(builder, rows), out)
        return context.get_dummy_value()

    return Lowered(f"columns{width}", typed)


columns4, columns8, columns16 = _columns(4), _columns(8), _columns(16)


def _blended(name: str, width: int, side_by_side: int, sets: int) -> Lowered:
    """Weighted sums of rows: of four places that lie `stride` apart so many rows each, by sets of weights.

    out[s width + k, lane] = Σ_j weights[s n + j, lane] row_j[k] for each of the sets s, with the n rows of a
    lane as they lie, the first at table[first[0, lane]]; the stride is an int32.
    """
    def typed(_: Any, table: Any, first: Any, stride: Any, weights: Any, out: Any) -> Any:
        from numba import types

        return types.void(table, first, stride, weights, out), fill

    def fill(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        table, first, stride, weights, out = _pointers(context, builder, signature, arguments)
        sums: list[list[Any]] = [[] for _ in range(sets)]
        for lane in range(LANES):
            at = _item(builder, first, lane)
            places = [builder.add(at, builder.mul(stride, stride.type(j))) for j in range(4)]
            rows = [_row(builder, table, builder.add(place, place.type(width * k)), width)
                    for place in places for k in range(side_by_side)]
            for one in range(sets):
                factors = [_item(builder, weights, j * LANES + lane)
                           for j in range(len(rows) * one, len(rows) * (one + 1))]
                parts = [builder.fmul(row, _splat(builder, factor, width), flags=_FAST)
                         for row, factor in zip(rows, factors, strict=True)]
                sums[one].append(_sum(builder, parts))
        for one in range(sets):
            _store(builder, _transposed(builder, sums[one]), _at(builder, out, width * LANES * one))
        return context.get_dummy_value()

    return Lowered(name, typed)


blended_columns, mixed_columns = _blended("blended_columns", 16, 1, 2), _blended("mixed_columns", 8, 2, 1)


def _sum(builder: Any, parts: list[Any]) -> Any:
    """Of neighbours first: additions that need not wait for each other."""
    while len(parts) > 1:
        parts = [builder.fadd(parts[j], parts[j + 1], flags=_FAST) for j in range(0, len(parts), 2)]
    return parts[0]


def _pointers(context: Any, builder: Any, signature: Any, arguments: Any) -> list[Any]:
    """Of arrays their first item's address; of numbers themselves."""
    from numba import types
    from numba.np import arrayobj

    return [_in_memory(builder, arrayobj.make_array(kind)(context, builder, value).data)
            if isinstance(kind, types.Array) else value
            for kind, value in zip(signature.args, arguments, strict=True)]


def _in_memory(builder: Any, pointer: Any) -> Any:
    """The pointer, with what lies there really there: LLVM would take single numbers out of vectors instead.

    Loading one from memory is one step, taking it out of a vector two or three.
    """
    from llvmlite import ir

    nothing = ir.FunctionType(ir.VoidType(), [pointer.type])
    builder.asm(nothing, "", "r,~{memory}", [pointer], side_effect=True)
    return pointer


def _at(builder: Any, pointer: Any, index: Any) -> Any:
    from llvmlite import ir

    return builder.gep(pointer, [ir.IntType(32)(index) if isinstance(index, int) else index])


def _item(builder: Any, pointer: Any, index: int) -> Any:
    return builder.load(_at(builder, pointer, index))


def _row(builder: Any, table: Any, first: Any, width: int) -> Any:
    from llvmlite import ir

    row = ir.VectorType(ir.FloatType(), width).as_pointer()
    return builder.load(builder.bitcast(_at(builder, table, first), row), align=4)


def _splat(builder: Any, value: Any, width: int) -> Any:
    return _shuffled(builder, builder.bitcast(value, _vector(value.type, 1)), None, [0] * width)


def _vector(item: Any, width: int) -> Any:
    from llvmlite import ir

    return ir.VectorType(item, width)


def _shuffled(builder: Any, left: Any, right: Any, order: list[int]) -> Any:
    from llvmlite import ir

    mask = ir.Constant(_vector(ir.IntType(32), len(order)), order)
    return builder.shuffle_vector(left, left if right is None else right, mask)


def _joined(builder: Any, rows: list[Any]) -> list[Any]:
    """The rows one after the other, in vectors of LANES."""
    while rows[0].type.count < LANES:
        order = list(range(2 * rows[0].type.count))
        rows = [_shuffled(builder, rows[k], rows[k + 1], order) for k in range(0, len(rows), 2)]
    return rows


def _transposed(builder: Any, rows: list[Any]) -> list[Any]:
    """LANES rows of any width as so many vectors of LANES.

    Number r w + k shall become number k LANES + r. Cutting the whole sequence in halves and taking from both
    in turn, as a deck of cards is shuffled, rotates the bits of a number's place by one.
    """
    deck = _joined(builder, rows)
    half = LANES // 2
    low = [k for i in range(half) for k in (i, LANES + i)]
    high = [k + half for k in low]
    for _ in range(_STAGES):
        pairs = zip(deck[: len(deck) // 2], deck[len(deck) // 2 :], strict=True)
        deck = [_shuffled(builder, a, b, order) for a, b in pairs for order in (low, high)]
    return deck


def _store(builder: Any, vectors: list[Any], out: Any) -> None:
    for k, vector in enumerate(vectors):
        place = builder.bitcast(_at(builder, out, k * LANES), vector.type.as_pointer())
        builder.store(vector, place, align=4)
