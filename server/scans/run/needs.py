"""What the task of a batch needs."""

from __future__ import annotations

from typing import Any

from server.scans.pixels.runs import Run

__all__ = ["KIND", "requirements_of"]

KIND = "pixels"
SHORTEST_HOURS, LONGEST_HOURS = 0.25, 4.0  # a task's time limit, whatever the pixels' own limits add up to


def requirements_of(run: Run, pixels: int) -> dict[str, Any]:
    """Of a task that does so many pixels."""
    hours = pixels * run.max_pixel_reco_time / 3600
    return {"cpu": 1, "memory": run.memory_gb, "disk": run.disk_gb,
            "time": min(max(hours, SHORTEST_HOURS), LONGEST_HOURS), "kind": KIND}
