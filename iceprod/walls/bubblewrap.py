"""How bubblewrap is told to run a program behind walls, and how it tells the program's end.

The process that starts programs imports this, and forks for each of them: it knows no module that it can do
without (see `grid.guarding.keeper`).
"""

from __future__ import annotations

import os

from iceprod.walls import namespaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["command", "status_of"]


def command(box: dict[str, Any], argv: list[str], directory: str) -> list[str]:
    """The command line of bubblewrap that runs a program in a box."""
    words = ["bwrap", "--unshare-user", "--unshare-pid", "--unshare-ipc", "--die-with-parent",
             "--proc", "/proc", "--chdir", directory]
    of_kind = {"ro": ["--ro-bind"], "rw": ["--bind"], "own": ["--bind"], "dev": ["--dev-bind"]}
    for kind, source, target in box["mounts"]:
        if kind == "link":
            words += ["--symlink", source, target]
        elif kind == "cover":
            words += ["--tmpfs", target] if os.path.isdir(target) else ["--ro-bind", "/dev/null", target]
        else:
            words += [*of_kind[kind], source, target]
    for target in namespaces.read_only(box["mounts"]):
        words += ["--remount-ro", target] if os.path.isdir(target) else []
    return [*words, "--", *argv]


def status_of(status: int) -> int:
    """The status that a program ended with, of bubblewrap's own, which tells a signal as shells do."""
    number = os.WEXITSTATUS(status) - 128 if os.WIFEXITED(status) else 0
    return number if number > 0 else status
