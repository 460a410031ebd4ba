"""What a pilot has to offer, and what of it is taken."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Room", "Share"]

_ROUNDING = 1e-3  # GB


@dataclass(frozen=True)
class Share:
    """What one task takes: cores, GB of memory and disk, and the GPUs it may use."""

    cpu: int
    memory: float
    disk: float
    gpus: tuple[str, ...] = ()


@dataclass
class Room:
    """A pilot's resources; tasks take a share and give it back. Safe to use from many threads."""

    cpu: int
    memory: float  # GB
    disk: float  # GB
    gpus: list[str] = field(default_factory=list)  # names, as CUDA_VISIBLE_DEVICES takes them

    def __post_init__(self) -> None:
        self.total = self.free()
        self._lock = threading.Lock()

    def free(self) -> dict[str, Any]:
        """What is free, in the words of a claim."""
        return {"cpu": self.cpu, "gpu": len(self.gpus), "memory": round(self.memory, 3),
                "disk": round(self.disk, 3)}

    def claimed(self) -> dict[str, Any]:
        """What is taken."""
        free = self.free()
        return {name: round(total - free[name], 3) for name, total in self.total.items()}

    def take(self, requirements: dict[str, Any]) -> Share | None:
        """Take what a task requires; None when it does not fit."""
        gpu = int(_number(requirements.get("gpu"), 0))
        cpu = max(1, int(_number(requirements.get("cpu"), 1)))
        memory, disk = _number(requirements.get("memory"), 0.0), _number(requirements.get("disk"), 0.0)
        with self._lock:
            fits = cpu <= self.cpu and memory <= self.memory + _ROUNDING and disk <= self.disk + _ROUNDING
            if not fits or gpu > len(self.gpus):
                return None
            share = Share(cpu, memory, disk, tuple(self.gpus[:gpu]))
            self._add(share, -1)
            del self.gpus[:gpu]
            return share

    def could_take(self, requirements: dict[str, Any]) -> bool:
        """Whether a task would fit if nothing else ran."""
        return all(_number(requirements.get(name), 0.0) <= total + _ROUNDING
                   for name, total in self.total.items())

    def give(self, share: Share) -> None:
        """Give a share back."""
        with self._lock:
            self._add(share, 1)
            self.gpus.extend(share.gpus)

    def _add(self, share: Share, sign: int) -> None:
        self.cpu += sign * share.cpu
        self.memory += sign * share.memory
        self.disk += sign * share.disk


def _number(value: Any, default: float) -> float:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else default
