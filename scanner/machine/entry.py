"""A fit as Python calls it: compiled code where there is some, made by a process of its own where not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from threading import Lock
from typing import Any

from scanner.common.compiled import Kernel
from scanner.machine.calling import Loaded
from scanner.machine.keeping import Label, find, keep, locked, unpack
from scanner.machine.levels import host_level, triple

__all__ = ["Entry", "builder", "label_of"]

BUILDER = "scanner.recos.building"
"""The program that compiles fits by running through them."""
builder: list[Callable[[Entry, tuple[Any, ...]], bytes]] = []
"""In that program, what compiles: it makes machine code of a fit and the arguments of its first call."""


def label_of(name: str, level: str = "") -> Label:
    """What the file with a fit's code for a level (default: this processor's) is called."""
    return Label(name, level or host_level().name, triple())


class Entry:
    """A fit: all that it calls is compiled with it. Its arguments are of the same types in every call."""

    def __init__(self, name: str, function: Kernel) -> None:
        self.name, self.function = name, function
        self._loaded: Callable[..., None] | None = None
        self._lock = Lock()

    def __call__(self, *arguments: Any) -> None:
        """Raises TypeError for arguments that it does not take, ArithmeticError when the fit gives up."""
        if self._loaded is None and builder:
            self._loaded = Loaded(self.name, builder[0](self, arguments))
        elif self._loaded is None:
            self.load()
        assert self._loaded is not None
        self._loaded(*arguments)

    def load(self) -> None:
        """Have the code ready: find it or have it compiled; where that fails, numba does it in its way."""
        with self._lock:
            if self._loaded is None:
                code = find(label_of(self.name)) or _made(self.name)
                self._loaded = Loaded(self.name, code) if code else self.function


def _made(name: str) -> bytes | None:
    """Compile in another process, once on a machine however many want it at once; None: it failed."""
    label = label_of(name)
    with locked(label.file):
        code = find(label)
        if code is None:
            made = subprocess.run([sys.executable, "-m", BUILDER, name], check=False, stdout=subprocess.PIPE)
            code = unpack(label, made.stdout)
            if code is None:
                print(f"warning: {BUILDER} {name} failed with status {made.returncode}; numba compiles it "
                      "function by function, which takes longer", file=sys.stderr)
            else:
                keep(made.stdout, label.file)
    return code
