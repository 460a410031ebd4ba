"""Start a program that cannot outlive the process that started it (Linux; elsewhere it just starts it).

The text of this module is also a program of its own, run as ``python -I -S -c TEXT MODE SIGNAL PARENT
PROGRAM ARGUMENT…``; the pilot carries it as text, so it needs Python 3.9's standard library only.

``exec``   becomes the program; the kernel sends it SIGNAL when the parent dies (prctl(2), PR_SET_PDEATHSIG).
``guard``  stays as the leader of the program's process group and kills the whole group when the parent dies;
           ends as the program ended, so that the parent reads its status and its resource usage.

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


def command(argv: list[str], mode: str = "exec", number: int = signal.SIGKILL) -> list[str]:
    """The command line that starts `argv` so that it ends with this process."""
    source = (pkgutil.get_data("iceprod", "launch.py") or b"").decode("utf8")
    return [sys.executable, "-I", "-S", "-c", source, mode, str(int(number)), str(os.getpid()), *argv]


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


def _guard(argv: list[str]) -> None:
    # A stop request goes to the whole group; how fast to obey is the program's own affair.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    child = os.fork()
    if child == 0:
        _execute(argv)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        if number not in (signal.SIGKILL, signal.SIGSTOP):
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(os.WEXITSTATUS(status))


def _main(mode: str, number: int, parent: int, argv: list[str]) -> None:
    if mode == "exec":
        die_with_parent(number, parent)
        _execute(argv)
    if os.getpgrp() != os.getpid():
        os.setpgid(0, 0)
    signal.signal(signal.SIGHUP, lambda number, frame: os.killpg(0, signal.SIGKILL))
    die_with_parent(signal.SIGHUP, parent)
    _guard(argv)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
