"""Instruction sets that code is compiled for, and which of them this processor has.

Code is compiled for a level, never for the processor at hand: so it runs, with the same results to the bit,
on every machine of its level, and a build is worth handing to others. Levels of x86-64 are those of its psABI
(System V ABI, AMD64 supplement, "micro-architecture levels").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

__all__ = ["LEVELS", "Level", "host_level", "runs_here", "triple"]


@dataclass(frozen=True)
class Level:
    """A level as LLVM calls it, what is asked for beside it, and what a processor must have to run it."""

    name: str
    features: str
    needs: frozenset[str]


_V2 = frozenset({"sse3", "ssse3", "sse4.1", "sse4.2", "popcnt", "cx16"})
_V3 = _V2 | {"avx", "avx2", "bmi", "bmi2", "f16c", "fma", "lzcnt", "movbe"}
_V4 = _V3 | {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}
_X86 = (Level("x86-64-v4", "-prefer-256-bit", _V4), Level("x86-64-v3", "", _V3), Level("x86-64-v2", "", _V2),
        Level("x86-64", "", frozenset()))
_OTHER = (Level("generic", "", frozenset()),)
LEVELS = {level.name: level for level in (*_X86, *_OTHER)}


@cache
def triple() -> str:
    """What LLVM calls this kind of machine and system."""
    import llvmlite.binding as llvm

    return str(llvm.get_process_triple())


@cache
def host_level() -> Level:
    """The highest level that this processor has."""
    import llvmlite.binding as llvm

    levels = _X86 if triple().startswith("x86_64") else _OTHER
    has = {name for name, there in llvm.get_host_cpu_features().items() if there}
    return next(level for level in levels if level.needs <= has)


def runs_here(name: str) -> bool:
    """Whether this processor runs code of a level."""
    wanted, here = LEVELS.get(name), host_level()
    return wanted is not None and (wanted.needs <= here.needs) and (wanted.name == "generic") == (
        here.name == "generic")
