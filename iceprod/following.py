"""Following work until it is over: one document after the other that says how far it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from iceprod.transport import Client

__all__ = ["follow_dataset", "follow_scan", "is_over"]

_WAIT = 10  # seconds per long poll
_LOOK_SECONDS = 1.0
_PATIENCE = 120.0  # a server that is being restarted does not end the watch
_OVER = ("complete", "errors", "suspended")


def follow_scan(client: Client, scan_id: str) -> Iterator[dict[str, Any]]:
    """The scan's progress, again whenever there is news, until it is over."""
    progress = client.get(f"/scan/{scan_id}/progress")
    while True:
        yield progress
        if is_over(progress):
            return
        progress = client.get(f"/scan/{scan_id}/progress", {"wait": _WAIT, "since": progress["version"]},
                              timeout=_WAIT + 30, patience=_PATIENCE)


def is_over(progress: dict[str, Any]) -> bool:
    """Whether nothing more will come of a scan."""
    state = str(progress["state"])
    return bool(progress["is_final"] or progress.get("is_deleted")) or \
        state.startswith(("ABORTED__", "FINISHED__", "STOPPED__"))


def follow_dataset(client: Client, dataset_id: str) -> Iterator[dict[str, Any]]:
    """The dataset's status, size, counts of tasks, and why jobs cannot be made, until it is over."""
    dataset = client.get(f"/datasets/{dataset_id}")
    while True:
        counts = client.get(f"/datasets/{dataset_id}/task_counts/status", patience=_PATIENCE)
        yield {"dataset_id": dataset_id, "status": dataset["status"],
               "tasks_submitted": dataset["tasks_submitted"], "tasks": counts,
               "reason": dataset.get("materialisation_error", "")}
        if dataset["status"] in _OVER:
            return
        client.pause(_LOOK_SECONDS)
        dataset = client.get(f"/datasets/{dataset_id}", patience=_PATIENCE)
