"""What a usual machine of the pool has, and which share of it one pilot takes."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from statistics import median_low

from grid.base import GridError
from grid.condor.schedd import Ad, Schedd
from grid.condor.site import Site, Size

__all__ = ["Nodes", "share_of"]

_ASK_SECONDS = 300.0
_SLACK = 0.95  # machines tell a little more memory and disk than they give away
_PARTS = {"auto": 2, "half": 2, "whole": 1}

log = logging.getLogger("grid.condor")


class Nodes:
    """Asks the pool now and then; what it does not tell is not guessed."""

    def __init__(self, schedd: Schedd, site: Site) -> None:
        self._schedd, self._pilot = schedd, site.pilot
        self._is_wanted = site.mode == "pilots" and site.pilot.share != "task"
        self._asked = float("-inf")
        self._share: Size | None = None

    def share(self) -> Size | None:
        """One pilot's share of a machine; None when pilots are made for single tasks."""
        if self._is_wanted and time.monotonic() - self._asked > _ASK_SECONDS:
            self._asked = time.monotonic()
            try:
                machines = self._schedd.machines(self._pilot.requirements)
                self._share = share_of(machines, _PARTS[self._pilot.share])
            except GridError as error:
                log.debug("%s", error)
        return self._share


def share_of(machines: Sequence[Ad], parts: int) -> Size | None:
    """That part of the usual machine: the median in each respect."""
    cores, memory, disk = ([float(ad[name]) for ad in machines if isinstance(ad.get(name), int | float)]
                           for name in ("TotalSlotCpus", "TotalSlotMemory", "TotalSlotDisk"))
    if not (cores and memory and disk):
        return None
    return Size(cores=max(1, int(median_low(cores)) // parts),
                memory=round(_SLACK * median_low(memory) * 2**20 / 1e9 / parts, 1),
                disk=round(_SLACK * median_low(disk) * 2**10 / 1e9 / parts, 1))
