"""What a process and all below it use, and what a batch system sees of all of them together."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Usage", "group_memory", "tree_usage"]

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_CGROUPS = Path("/sys/fs/cgroup")


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


def group_memory(limit: float, root: Path = _CGROUPS, membership: Path = Path("/proc/self/cgroup")) -> float:
    """GB that our control group uses; 0 when it is not one for this slot alone (it has no such limit).

    Control groups of version 2, without the cache of files that the kernel gives back by itself (kernel
    documentation, admin-guide/cgroup-v2).
    """
    try:
        lines = membership.read_text().splitlines()
        folder = root / next(line[3:].strip().lstrip("/") for line in lines if line.startswith("0::"))
        most = (folder / "memory.max").read_text().strip()
        if most == "max" or int(most) > 1.25e9 * limit:
            return 0.0
        fields = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return (int((folder / "memory.current").read_text()) - int(fields.get("inactive_file", 0))) / 1e9
    except (OSError, ValueError, StopIteration):
        return 0.0
