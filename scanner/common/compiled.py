"""How kernels are marked, and how numba compiles one that is called by itself.

What the scanner runs are whole fits, compiled ahead (`scanner.machine`). So a kernel here is a name that
numba has not seen yet: numba is imported when one is called or compiled, which a worker with finished code
never does.

Numba keeps compiled functions on disk, but looks only at the file of the function itself: a function whose
callee or constant in another file has changed would keep running old code. So the code is kept in a folder
named after the sources of all kernels. It lies under ``NUMBA_CACHE_DIR`` if set, else under the user's
cache folder; where it cannot be written, or somebody else owns it, each process compiles anew.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache, cached_property, update_wrapper
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["Kernel", "Lowered", "fast_kernel", "inlined", "kernel", "overloads", "own_folder",
           "source_digest"]

_PACKAGE = Path(__file__).parents[1]
_CONSTANTS = (_PACKAGE / "light/ice.py", _PACKAGE / "light/pandel.py", _PACKAGE.parent / "config/ice.py")
_MARKS = (b"scanner.common.compiled import", b"scanner.machine")


@cache
def source_digest() -> str:
    """Digest of every source that a kernel is made from: modules that use this one, and their constants."""
    digest = hashlib.sha256()
    for path in sorted(_PACKAGE.rglob("*.py")):
        text = path.read_bytes()
        if any(mark in text for mark in _MARKS) or path in _CONSTANTS:
            digest.update(text)
    for path in (_CONSTANTS[-1], *sorted((_PACKAGE.parent / "config/data").glob("*.csv"))):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def compiler_version() -> str:
    """Numba's version, without importing it; empty where it is not installed."""
    try:
        return version("numba")
    except PackageNotFoundError:
        return ""


def _base() -> Path:
    if chosen := os.environ.get("NUMBA_CACHE_DIR", ""):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "iceprod" / "kernels"


def own_folder() -> Path | None:
    """The folder for these sources, writable and ours alone; None if there is no such place."""
    try:
        folder = _base() / f"{source_digest()}-{compiler_version()}"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return None
    mine = found.st_uid == os.geteuid() and not found.st_mode & 0o022  # who writes there, writes what we run
    return folder if mine and os.access(folder, os.W_OK | os.X_OK) else None


_chosen: list[tuple[Callable[..., Any], Callable[..., Any]]] = []
ALONE: dict[str, bool] = {}
"""{"cache": …} where nothing is kept, or where a builder wants each function fresh."""


@cache
def _numba() -> Any:
    """Numba, told where to keep what it compiles."""
    import numba
    from numba.core import config

    folder = own_folder()
    if folder is not None:
        vars(config)["CACHE_DIR"] = str(folder)
    else:
        ALONE.setdefault("cache", False)
    return numba


class Kernel:
    """A function for the compiler. Called by itself, it is compiled and kept by numba."""

    def __init__(self, function: Callable[..., Any], options: dict[str, Any]) -> None:
        self.py_func = function
        self._options = options
        update_wrapper(self, function)

    @cached_property
    def dispatcher(self) -> Any:
        """Numba's own object for it."""
        numba = _numba()
        while _chosen:
            stub, chooser = _chosen.pop()
            numba.extending.overload(stub, strict=False, jit_options=_FAST)(chooser)
        return numba.njit(**{**self._options, **ALONE})(self.py_func)

    @property
    def _numba_type_(self) -> Any:
        """What compiled code that names a kernel takes it for."""
        return _numba().types.Dispatcher(self.dispatcher)

    def __call__(self, *arguments: Any) -> Any:
        return self.dispatcher(*arguments)


class Lowered:
    """A function of compiled code that is written in LLVM's words.

    `typed` is what numba asks for an intrinsic: from the types of the arguments to a signature and to what
    writes the code. It is first called when a kernel that names this one is compiled.
    """

    def __init__(self, name: str, typed: Callable[..., Any]) -> None:
        self._name, self._typed = name, typed

    @cached_property
    def _numba_type_(self) -> Any:
        from numba.core import types
        from numba.core.typing.templates import infer, make_intrinsic_template

        template = make_intrinsic_template(self, self._typed, self._name, prefer_literal=False, kwargs={})
        infer(template)
        return types.Function(template)

    def __call__(self, *_: Any) -> Any:
        """Compiled code alone can call it."""
        raise NotImplementedError(self._name)


_FAST: dict[str, Any] = {"error_model": "numpy", "fastmath": True}


def kernel(function: Callable[..., Any]) -> Kernel:
    """Compile a function: divisions raise nothing, the interpreter lock is released."""
    return Kernel(function, {"error_model": "numpy", "nogil": True, "cache": True})


def fast_kernel(function: Callable[..., Any]) -> Kernel:
    """The same, with arithmetic in any order; neither NaN nor infinity may occur in it."""
    return Kernel(function, {**_FAST, "nogil": True, "cache": True})


def inlined(function: Callable[..., Any]) -> Kernel:
    """Compile a small function into its callers, so that their loops can be vectorised.

    By LLVM: numba's own inlining infers the types of the same lines again in every caller, which made half of
    the time to compile.
    """
    return Kernel(function, {**_FAST, "forceinline": True})


def overloads(stub: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Let compiled code call `stub` as what the decorated function answers to the types of the arguments."""
    def keep(chooser: Callable[..., Any]) -> Callable[..., Any]:
        _chosen.append((stub, chooser))
        return chooser
    return keep
