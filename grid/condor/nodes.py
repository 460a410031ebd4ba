"""What a usual machine of the pool has, and which share of it one pilot takes."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from statistics import median_low

from grid.base import GridError
from grid.condor.schedd import Ad, Schedd
from grid.condor.site import Gpu, Site, Size
from iceprod.batch.devices import from_machine_ad

__all__ = ["Nodes", "kinds_of", "share_of"]

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
        self._has_gpus = bool(site.largest.gpus) and not site.gpus
        self._asked_gpus = float("-inf")
        self._gpus: list[Gpu] = []

    def gpus(self) -> list[Gpu]:
        """The kinds of GPUs that the pool shows; none when the site file says them, or the pool does not."""
        if self._has_gpus and time.monotonic() - self._asked_gpus > _ASK_SECONDS:
            self._asked_gpus = time.monotonic()
            try:
                self._gpus = kinds_of(self._schedd.gpus(self._pilot.requirements))
            except GridError as error:
                log.debug("%s", error)
        return self._gpus

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


def kinds_of(ads: Sequence[str]) -> list[Gpu]:
    """The kinds of GPUs that machine ads list."""
    found = {Gpu(device.name, device.memory, device.capability)
             for ad in ads for device in from_machine_ad(ad)}
    return sorted(found, key=lambda gpu: (gpu.name, gpu.memory, gpu.capability))


def share_of(machines: Sequence[Ad], parts: int) -> Size | None:
    """That part of the usual machine: the median in each respect."""
    cores, memory, disk = ([float(ad[name]) for ad in machines if isinstance(ad.get(name), int | float)]
                           for name in ("TotalSlotCpus", "TotalSlotMemory", "TotalSlotDisk"))
    if not (cores and memory and disk):
        return None
    return Size(cores=max(1, int(median_low(cores)) // parts),
                memory=round(_SLACK * median_low(memory) * 2**20 / 1e9 / parts, 1),
                disk=round(_SLACK * median_low(disk) * 2**10 / 1e9 / parts, 1))
