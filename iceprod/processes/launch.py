"""Start a program that cannot outlive the process that started it (Linux; elsewhere it just starts it).

The text of this module is also a program of its own, run as ``python -I -S -c TEXT SIGNAL PARENT PROGRAM
ARGUMENT…``; the pilot carries it as text, so it needs Python 3.9's standard library only. It becomes the
program; the kernel sends it SIGNAL when the parent dies (prctl(2), PR_SET_PDEATHSIG).

The kernel watches the *thread* that started the child: start from one that lives as long as the child may.
"""

from __future__ import annotations

import ctypes
import os
import pkgutil
import signal
import sys

__all__ = ["NOT_FOUND", "command", "die_with_parent"]

NOT_FOUND = 127
"""Exit status when the program could not be started, as shells give it."""

_PR_SET_PDEATHSIG = 1


def command(argv: list[str], number: int = signal.SIGKILL) -> list[str]:
    """The command line that starts `argv` so that it ends with this process."""
    source = (pkgutil.get_data("iceprod.processes", "launch.py") or b"").decode("utf8")
    return [sys.executable, "-I", "-S", "-c", source, str(int(number)), str(os.getpid()), *argv]


def die_with_parent(number: int, parent: int) -> None:
    """Have the kernel send us a signal when our parent dies; at once if it is dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0)
    if os.getppid() != parent:
        os.kill(os.getpid(), number)


def _execute(argv: list[str]) -> None:
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(2, f"cannot start {argv[0]}: {error.strerror}\n".encode())
        os._exit(NOT_FOUND)


def _main(number: int, parent: int, argv: list[str]) -> None:
    die_with_parent(number, parent)
    _execute(argv)


if __name__ == "__main__":
    _main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:])
