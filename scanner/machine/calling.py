"""Calling compiled code: arguments as the machine takes them.

A compiled fit has one function, ``iceprod_<name>``, that takes the address of a list of 64-bit words and
returns 0 when all went well. The words are the arguments one after the other, in numba's own order: a number
is one word, a tuple its elements, an array (owner, parent, items, bytes of an item, address, shape, strides).
A text beside it, ``iceprod_<name>_types``, says what they were when it was compiled; nothing else is let in.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterator, Sequence
from functools import cache
from threading import Lock
from typing import Any

import numpy as np

__all__ = ["Loaded", "symbol", "types_of"]


def symbol(name: str) -> str:
    """What a fit's function is called in its machine code."""
    return f"iceprod_{name}"


def types_of(arguments: Sequence[Any]) -> str:
    """What the arguments are: ``f8`` a number, ``f8/1`` an array of one dimension."""
    return ",".join(_types(arguments))


def _types(values: Sequence[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, np.ndarray):
            yield f"{value.dtype.kind}{value.itemsize}/{value.ndim}"
        elif isinstance(value, tuple):
            yield from _types(value)
        else:
            yield "f8" if isinstance(value, float) else "i8"


_one_at_a_time = Lock()


@cache
def _engine() -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)


class Loaded:
    """Machine code in memory, to be called as the function that it was made from.

    The last argument is what it fills in; of the others it takes copies where arrays have gaps.
    """

    def __init__(self, name: str, code: bytes) -> None:
        import llvmlite.binding as llvm

        self._name = name
        with _one_at_a_time:
            _engine().add_object_file(llvm.ObjectFileRef.from_data(code))
            _engine().finalize_object()
        address = _engine().get_function_address(symbol(name))
        self._function = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p)(address)
        types = _engine().get_global_value_address(f"{symbol(name)}_types")
        self._types = ctypes.string_at(types).decode()

    def __call__(self, *arguments: Any) -> None:
        """Raises TypeError for arguments of other types, ArithmeticError when the code gives up."""
        if types_of(arguments) != self._types:
            raise TypeError(f"the compiled fit {self._name} takes {self._types}, not {types_of(arguments)}")
        words: list[int] = []
        dense = _dense(arguments[:-1])
        _append(words, (*dense, arguments[-1]))
        table = np.array(words, dtype=np.uint64)
        if self._function(table.ctypes.data):
            raise ArithmeticError(f"the compiled fit {self._name} failed")


def _dense(values: Sequence[Any]) -> list[Any]:
    return [np.require(value, requirements=["C", "A"]) if isinstance(value, np.ndarray)
            else tuple(_dense(value)) if isinstance(value, tuple) else value for value in values]


def _append(words: list[int], values: Sequence[Any]) -> None:
    for value in values:
        if isinstance(value, np.ndarray):
            words += _array(value)
        elif isinstance(value, tuple):
            _append(words, value)
        elif isinstance(value, float):
            words += struct.unpack("=Q", struct.pack("=d", value))
        else:
            words.append(int(value) & 0xFFFFFFFFFFFFFFFF)


def _array(value: np.ndarray) -> list[int]:
    if not (value.flags.c_contiguous and value.flags.aligned and value.dtype.isnative):
        raise TypeError("a compiled fit fills in an array without gaps")
    return [0, 0, value.size, value.itemsize, value.ctypes.data, *value.shape, *value.strides]
