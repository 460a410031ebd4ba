"""Processes of a task: measuring a group of them and ending it."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Usage", "group_usage", "kill_group", "stop_group"]

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass
class Usage:
    """What a process group uses now: resident memory in GB, processor time of its living members in s."""

    memory: float = 0.0
    cpu_seconds: float = 0.0
    processes: int = 0


def _stat_fields(pid: str) -> list[str]:
    """The fields of /proc/PID/stat after the program's name, which may itself hold spaces and brackets."""
    with open(f"/proc/{pid}/stat", encoding="utf8", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def _members(group: int) -> Iterator[list[str]]:
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if name.isdigit():
            with contextlib.suppress(OSError):
                fields = _stat_fields(name)
                if len(fields) > 21 and int(fields[2]) == group:
                    yield fields


def group_usage(group: int) -> Usage:
    """Measure a process group (proc(5); zero where there is no /proc)."""
    usage = Usage()
    for fields in _members(group):
        if fields[0] == "Z":
            continue
        usage.processes += 1
        usage.memory += int(fields[21]) * _PAGE / 1e9
        usage.cpu_seconds += sum(map(int, fields[11:15])) / _TICKS
    return usage


def kill_group(group: int, number: int = signal.SIGKILL) -> bool:
    """Send a signal to a process group; False when it has ended."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def stop_group(group: int, patience: float = 2.0) -> None:
    """End a process group: ask, wait `patience` seconds, kill."""
    kill_group(group, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and group_usage(group).processes:
        time.sleep(0.05)
    kill_group(group)
