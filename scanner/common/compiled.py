"""How the numeric kernels are compiled, and where the machine code is kept.

Numba keeps compiled functions on disk, but looks only at the file of the function itself: a function whose
callee or constant in another file has changed would keep running old code. So the code is kept in a folder
named after the sources of all kernels. It lies under ``NUMBA_CACHE_DIR`` if set, else under the user's
cache folder; where it cannot be written, or somebody else owns it, each process compiles anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numba
from numba.core import config as numba_config

__all__ = ["compile_apart", "fast_kernel", "inlined", "is_compiled", "kernel", "source_digest"]

_PACKAGE = Path(__file__).parents[1]
_CONSTANTS = (_PACKAGE / "light/ice.py", _PACKAGE / "light/pandel.py", _PACKAGE.parent / "config/ice.py")
_MARK = b"scanner.common.compiled import"


def source_digest() -> str:
    """Digest of every source that a kernel is made from: modules that use this one, and their constants."""
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(_PACKAGE.rglob("*.py")):
        text = path.read_bytes()
        if _MARK in text or path in _CONSTANTS:
            digest.update(text)
    digest.update(_CONSTANTS[-1].read_bytes())
    return digest.hexdigest()[:16]


def _base() -> Path:
    chosen: str = vars(numba_config).get("CACHE_DIR", "")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "iceprod" / "kernels"


def _own_folder() -> Path | None:
    """The folder for these sources, writable and ours alone; None if there is no such place."""
    try:
        folder = _base() / source_digest()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return None
    mine = folder.stat().st_uid == os.geteuid()
    return folder if mine and os.access(folder, os.W_OK | os.X_OK) else None


_FOLDER = _own_folder()
if _FOLDER is not None:
    vars(numba_config)["CACHE_DIR"] = str(_FOLDER)


def is_compiled(name: str) -> bool:
    """Whether this machine keeps the machine code of a reconstruction's kernels."""
    return _FOLDER is not None and (_FOLDER / f"{name}.compiled").exists()


def compile_apart(name: str, command: Sequence[str]) -> None:
    """Have a process of its own compile a reconstruction's kernels, unless this machine keeps their code.

    One process compiles while others wait. It is not the caller, because code that was just compiled can
    differ in the last digit from the same code read back: so every worker computes with what was read back.
    Where nothing can be kept, nothing happens. Raises subprocess.CalledProcessError.
    """
    if _FOLDER is None or is_compiled(name):
        return
    with open(_FOLDER / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not is_compiled(name):
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            (_FOLDER / f"{name}.compiled").touch()


_OPTIONS: dict[str, Any] = {"error_model": "numpy", "nogil": True, "cache": _FOLDER is not None}

kernel = numba.njit(**_OPTIONS)
"""Compile a function: divisions raise nothing, the interpreter lock is released."""

fast_kernel = numba.njit(fastmath=True, **_OPTIONS)
"""The same, with arithmetic in any order; neither NaN nor infinity may occur in it."""

inlined = numba.njit(fastmath=True, error_model="numpy", inline="always")
"""Compile a small function into its callers, so that their loops can be vectorised."""
