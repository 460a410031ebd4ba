"""What pilots offer, on every kind of grid; and what a grid of a fixed number of equal pilots can do.

`grid.service` drives such a grid. A site on HTCondor decides by demand and needs to know more of its pilots
than their state; `grid.condor.service` has its own way (see docs/decisions/grids.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["PLAIN", "Grid", "GridError", "PilotClass", "PilotState", "Traits"]


class GridError(Exception):
    """The grid cannot do what was asked just now; the text says why."""


@dataclass(frozen=True, order=True)
class Traits:
    """Of which kind a pilot's GPUs are at least, and which ClassAds its job has."""

    capability: float = 0.0
    gpu_memory: float = 0.0  # GB
    gpu_name: str = ""  # a part of it
    classads: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, requirements: Mapping[str, Any]) -> Traits:
        """What a task asks for."""
        return cls(float(requirements.get("gpus_minimum_capability") or 0),
                   float(requirements.get("gpus_minimum_memory") or 0),
                   str(requirements.get("gpus_device_name") or ""),
                   tuple(sorted((requirements.get("classads") or {}).items())))

    def serves(self, wanted: Traits) -> bool:
        """Whether tasks of other traits can run in a pilot of these."""
        return (self.classads == wanted.classads and wanted.capability <= self.capability
                and wanted.gpu_memory <= self.gpu_memory
                and wanted.gpu_name.lower() in self.gpu_name.lower())


PLAIN = Traits()


@dataclass(frozen=True)
class PilotClass:
    """What one pilot offers: cores, GB, GPUs, and hours to live."""

    cores: int = 1
    memory_gb: float = 4.0
    disk_gb: float = 10.0
    gpus: int = 0
    lifetime_hours: float = 24.0
    site: str = "local"
    traits: Traits = PLAIN


@dataclass(frozen=True)
class PilotState:
    """A pilot as its grid sees it."""

    id: str
    state: str  # "queued", "running" or "ended"
    offer: PilotClass
    seconds: float = 0.0  # since it started to run
    detail: str = ""  # how it ended, or why it waits


class Grid(Protocol):
    """A place where pilots run. Ids are the grid's own; ended pilots are listed once and then forgotten."""

    name: str
    kind: str

    def submit(self, offer: PilotClass, count: int) -> list[str]:
        """Submit pilots; their ids. Raises GridError."""

    def list(self) -> list[PilotState]:
        """All pilots of ours. Raises GridError."""

    def remove(self, ids: Iterable[str]) -> None:
        """End pilots; unknown ids are ignored. Raises GridError."""

    def close(self) -> None:
        """We end: take along what cannot stay without us."""
