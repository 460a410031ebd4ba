"""``python -m scanner.recos.building``: compile fits ahead.

Each is compiled by running through it with the smallest event, so what comes out has run once. Three uses:

``NAME``        one fit; its file goes to standard output (what a worker asks for that has none)
``--missing``   all that this machine does not keep yet, into the user's folder (`iceprod up` does it)
``--package``   all, for every level that this processor runs, and the tables, into the package itself
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from typing import Any

from config.ice import ENERGY_ICE
from scanner.light.pandel import pandel_tables
from scanner.light.shower_light import shower_tables
from scanner.machine import entry, tables
from scanner.machine.building import BuildError, choose_level, compile_fit
from scanner.machine.keeping import SHIPPED, find, keep, locked, pack
from scanner.machine.levels import LEVELS, host_level, runs_here
from scanner.recos.recos import FITS, RECOS, run_through

__all__ = ["main"]


def main(arguments: list[str] | None = None) -> int:
    """Exit status 1: it could not be compiled or written."""
    options = _parser().parse_args(arguments)
    if options.package:
        return _package()
    choose_level(options.level)
    try:
        if options.missing:
            return _missing()
        with os.fdopen(os.dup(1), "wb") as out:
            os.dup2(2, 1)
            out.write(pack(entry.label_of(options.name, options.level), _code(options.name, options.level)))
    except BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=f"python -m {entry.BUILDER}", description="Compile fits ahead.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("name", nargs="?", choices=FITS, metavar="NAME", help=f"of: {', '.join(FITS)}")
    what.add_argument("--missing", action="store_true", help="all that this machine does not keep yet")
    what.add_argument("--package", action="store_true", help="all, for every level, into the package itself")
    here = [name for name in LEVELS if runs_here(name)]
    parser.add_argument("--level", choices=here, default=host_level().name, help="default: this processor's")
    return parser


def _code(wanted: str, level: str) -> bytes:
    """Machine code of a fit, taken where the smallest event calls it. Raises BuildError."""
    made: dict[str, bytes] = {}

    def compile_one(fit: entry.Entry, arguments: tuple[Any, ...]) -> bytes:
        code = find(entry.label_of(fit.name, level)) if fit.name != wanted else None
        made[fit.name] = code or compile_fit(fit.name, fit.function, arguments)
        return made[fit.name]

    entry.builder[:] = [compile_one]
    run_through(RECOS[wanted])
    return made[wanted]


def _missing() -> int:
    """One after the other; who needs one meanwhile waits for it and not for all.

    The first is what most scans use, so somebody may wait for it; the others give way to whoever has work.
    """
    level, status = host_level().name, 0
    for place, name in enumerate(FITS):
        if place == 1:
            os.nice(10)
        label = entry.label_of(name, level)
        with locked(label.file):
            if find(label) is None and not keep(pack(label, _code(name, level)), label.file):
                status = 1
    return status


def _package() -> int:
    """Each fit and level in a process of its own, for numba compiles for one level in a process."""
    SHIPPED.mkdir(exist_ok=True)
    for level in (name for name in LEVELS if runs_here(name)):
        for name in FITS:
            words = [sys.executable, "-m", entry.BUILDER, name, "--level", level]
            made = subprocess.run(words, check=False, stdout=subprocess.PIPE)
            file = entry.label_of(name, level).file
            if made.returncode or not keep(made.stdout, file, SHIPPED):
                print(f"error: {file} is not in {SHIPPED}", file=sys.stderr)
                return 1
            print(f"{SHIPPED / file}  {len(made.stdout)} bytes", flush=True)
    tables.place[:] = [SHIPPED]
    pandel_tables()
    shower_tables(ENERGY_ICE)
    return 0


if __name__ == "__main__":
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # ends with the process that wants it
    sys.exit(main())
