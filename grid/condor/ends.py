"""Why a pilot's job is over, in a few kinds, and whose fault it was.

========== ====================================================== =========
kind       when                                                   fault of
========== ====================================================== =========
finished   the pilot left by itself                               nobody
failed     it ended with an error                                 the site
killed     a signal ended it                                      the site
memory     it used more memory than it asked for                  nobody
disk       it used more disk than it asked for                    nobody
time       it ran longer than it may                              nobody
files      files could not be brought to it or back               the site
start      its program or container could not be started          the site
held       HTCondor or a person held it for another reason        the site
silent     it ran, but the server never heard of it               the site
evicted    the machine was wanted for something else              nobody
lost       HTCondor lost the machine                              nobody
removed    we or a person removed it                              nobody
vanished   it is in the queue no more, and not in the history     nobody
========== ====================================================== =========

Hold codes are those of the HTCondor manual (job ClassAd attributes, HoldReasonCode).
"""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass

from grid.base import PilotClass

__all__ = ["FAULTS", "End", "host_of", "of_exit", "of_hold", "of_removal"]

FAULTS = frozenset({"failed", "killed", "files", "start", "held", "silent"})
"""Kinds that say that more pilots would probably end the same way."""

_FILES = frozenset({7, 8, 9, 10, 11, 12, 13, 14, 22, 32, 33})
_START = frozenset({4, 6, 35, 44, 45, 48})
_TIME = frozenset({46, 47})
_OUT_OF, _BY_MACHINE = 34, 21  # with cgroups the starter says so, without the machine's policy
_NO_PYTHON = 78  # as the pilot's file ends on a Python that cannot run it
_MEMORY, _DISK = 102, 104
_SECRET = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")


@dataclass(frozen=True)
class End:
    """The end of one pilot's job."""

    id: str
    kind: str
    reason: str
    when: float  # seconds since 1970
    host: str = ""
    lived: float = 0.0  # seconds that it ran
    shape: PilotClass = PilotClass()  # noqa: RUF009

    @property
    def is_fault(self) -> bool:
        return self.kind in FAULTS


def host_of(slot: str) -> str:
    """The machine's part of a slot's name: ``slot1_2@node7``, ``slot1@glidein_1_23@node7.example.org``."""
    name = slot.partition("@")[2]
    last = name.rpartition("@")[2]
    return last if "." in last else name


def of_exit(code: int | None, number: int | None) -> tuple[str, str]:
    """Kind and reason of a job that ended by itself, by its status or by a signal."""
    if number:
        return "killed", f"killed by {_name(number)}"
    if code == 0:
        return "finished", "ended by itself"
    if code in (126, 127):
        return "start", f"its program could not be started (status {code}); is there a python3 on the worker?"
    if code == _NO_PYTHON:
        return "start", f"the worker's Python is too old for pilots (status {code}); see pilot: python"
    return "failed", f"ended with status {code}"


def of_hold(code: int, subcode: int, reason: str) -> tuple[str, str]:
    """Kind and reason of a job that was held."""
    said = f"held ({code}/{subcode}): {_clean(reason)}"
    if code in (_OUT_OF, _BY_MACHINE) and subcode == _MEMORY:
        return "memory", said
    if code in (_OUT_OF, _BY_MACHINE) and subcode == _DISK:
        return "disk", said
    for kind, codes in (("files", _FILES), ("start", _START), ("time", _TIME)):
        if code in codes:
            return kind, said
    return "held", said


def of_removal(reason: str) -> tuple[str, str]:
    """Kind and reason of a job that was removed: by us, a person, or because it had been evicted."""
    if "PeriodicRemove" in reason:
        return "evicted", "evicted; a pilot starts only once"
    return "removed", f"removed: {_clean(reason) or 'no reason given'}"


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _clean(reason: str) -> str:
    """One line, not too long, and without anything that looks like a token."""
    return _SECRET.sub("…", " ".join(reason.split()))[:500]
