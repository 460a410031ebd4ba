"""``python -m scanner.recos.building NAME… [--level LEVEL] [--into FOLDER]``: compile fits ahead.

Each is compiled by running through it with the smallest event, so what comes out has run once. Without a folder,
the file of the one fit goes to standard output.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import Any

from scanner.machine import entry
from scanner.machine.building import choose_level, compile_fit
from scanner.machine.keeping import keep, pack
from scanner.machine.levels import LEVELS, host_level
from scanner.recos.recos import FITS, RECOS, run_through

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Compile what is named, one after the other; exit status 1 when a folder does not take it."""
    parser = argparse.ArgumentParser(prog="python -m scanner.recos.building", description="Compile fits ahead.")
    parser.add_argument("names", nargs="+", choices=FITS, metavar="NAME", help=f"of: {', '.join(FITS)}")
    parser.add_argument("--level", choices=LEVELS, default=host_level().name, help="default: this processor's")
    parser.add_argument("--into", type=Path, metavar="FOLDER")
    options = parser.parse_args(arguments)
    choose_level(options.level)
    with os.fdopen(os.dup(1), "wb") as out:
        os.dup2(2, 1)
        for name in options.names:
            label = entry.label_of(name, options.level)
            packed = pack(label, _code(name))
            if options.into is None:
                out.write(packed)
            elif not keep(packed, label.file, options.into):
                print(f"error: cannot write {label.file} into {options.into}", file=sys.stderr)
                return 1
    return 0


def _code(name: str) -> bytes:
    """Machine code of a fit, taken where the smallest event calls it."""
    made: dict[str, bytes] = {}

    def compile_one(fit: entry.Entry, arguments: tuple[Any, ...]) -> bytes:
        made[fit.name] = compile_fit(fit.name, fit.function, arguments)
        return made[fit.name]

    entry.builder[:] = [compile_one]
    run_through(RECOS[name])
    return made[name]


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # ends with the process that wants it
    sys.exit(main())
