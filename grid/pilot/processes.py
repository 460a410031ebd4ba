"""What a process and all below it use."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Usage", "tree_usage"]

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Usage:
    """What processes use now: resident memory in GB, processor time of the living ones in s."""

    memory: float = 0.0
    cpu_seconds: float = 0.0
    processes: int = 0


def tree_usage(root: int) -> Usage:
    """Measure a process and its descendants (proc(5); zero where there is no /proc)."""
    table = dict(_processes())
    children: dict[int, list[int]] = {}
    for pid, fields in table.items():
        children.setdefault(int(fields[1]), []).append(pid)
    usage, unseen = Usage(), [root]
    while unseen:
        pid = unseen.pop()
        unseen += children.get(pid, [])
        fields = table.get(pid, ["Z"])
        if fields[0] != "Z":
            usage.processes += 1
            usage.memory += int(fields[21]) * _PAGE / 1e9
            usage.cpu_seconds += sum(map(int, fields[11:15])) / _TICKS
    return usage


def _processes() -> Iterator[tuple[int, list[str]]]:
    """Each process and its fields in /proc/PID/stat after the name, which may hold spaces and brackets."""
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", encoding="utf8",
                                                    errors="replace") as file:
                fields = file.read().rpartition(")")[2].split()
                if len(fields) > 21:
                    yield int(name), fields
