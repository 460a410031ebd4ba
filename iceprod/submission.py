"""What is sent to submit a dataset or to start a scan."""

from __future__ import annotations

from typing import Any

from iceprod.config_check import check_config, refused
from iceprod.dataset_config import ConfigError, place_of, task_names
from iceprod.transport import Client, Refused

__all__ = ["NSIDES", "RECO", "ask_about", "checked_names", "dataset_of", "progression", "scan_request",
           "submit_dataset", "truth_of"]

NSIDES = "8:0,64:12,512:24"
RECO = "auto"  # suits every event
_URGENT = 100  # starts without waiting


def checked_names(config: dict[str, Any], jobs: int = 1, *, lenient: bool = False) -> list[str]:
    """The names of a configuration's tasks. Raises ConfigError for one that is refused."""
    for one in refused(check_config(config, jobs), lenient=lenient):
        raise ConfigError(one.problem, place_of(one.path), one.nearest)
    names = task_names(config)
    if not names:
        raise ConfigError("tasks: there is none")
    return names


def dataset_of(config: dict[str, Any], jobs: int, description: str, group: str, priority: float, *,
               lenient: bool = False) -> dict[str, Any]:
    """The dataset as the server takes it. Raises ConfigError."""
    size = len(checked_names(config, jobs, lenient=lenient))
    return {"description": description or str(config.get("description") or "a dataset"), "group": group,
            "jobs_submitted": jobs, "tasks_per_job": size, "tasks_submitted": jobs * size,
            "priority": priority}


def submit_dataset(client: Client, dataset: dict[str, Any], config: dict[str, Any], *,
                   lenient: bool = False, start: bool = True) -> str:
    """Submit a dataset with its configuration; its id. Without `start` it stays suspended.

    Raises Refused with all that is wrong; then nothing is made.
    """
    ask_about(client, dataset, config, lenient=lenient)
    # Paused until its configuration is there, so that nobody makes tasks of half a dataset.
    dataset_id = client.post("/datasets", {**dataset, "status": "suspended"}, patience=10)["result"]
    client.put(f"/config/{dataset_id}?lenient={'true' if lenient else 'false'}", config, patience=10)
    if start:
        client.put(f"/datasets/{dataset_id}/status", {"status": "processing"}, patience=10)
    return str(dataset_id)


def ask_about(client: Client, dataset: dict[str, Any], config: dict[str, Any], *,
              lenient: bool = False) -> dict[str, Any]:
    """What the server would make of a submission: it knows what its sites offer. Raises Refused."""
    body = {"config": config, "jobs_submitted": dataset["jobs_submitted"], "lenient": lenient,
            "group": dataset["group"]}
    told = client.post("/config/validate", body, patience=10)
    if not told["valid"]:
        wrong = [f"{one['path']}: {one['error']}" if one["path"] else one["error"] for one in told["errors"]]
        raise Refused(400, "; ".join(wrong))
    return dict(told)


def scan_request(event: dict[str, Any], reco_algo: str, nsides: str | None = None,
                 is_real: bool | None = None, max_pixel_seconds: int = 3600) -> dict[str, Any]:
    """What `POST /scan` takes; an event is simulated when its file tells the truth of it.

    Levels that are named are scanned as they are; the usual ones grow as the regions need. Raises ValueError.
    """
    if is_real is None:
        is_real = truth_of(event) is None
    levels = progression(NSIDES if nsides is None else nsides)
    return {"docker_tag": "latest", "reco_algo": reco_algo, "nsides": levels,
            "real_or_simulated_event": "real" if is_real else "simulated", "priority": _URGENT,
            "max_pixel_reco_time": max_pixel_seconds, "request_clusters": {"local": 1},
            "event_i3live_json": event, **({"refine": True} if nsides is None else {})}


def progression(text: str) -> dict[str, int]:
    """Levels as in ``8:0,64:12,512:24``. Raises ValueError."""
    levels = {}
    for part in text.split(","):
        nside, colon, extension = part.strip().partition(":")
        if not (colon and nside.isdecimal() and extension.isdecimal()):
            raise ValueError(f"{part.strip()!r} is not nside:extension, as in {NSIDES}")
        levels[nside] = int(extension)
    return levels


def truth_of(event: dict[str, Any]) -> tuple[float, float] | None:
    """Right ascension and declination that a simulated event's file tells."""
    truth = event.get("truth")
    try:
        return (float(truth["ra_deg"]), float(truth["dec_deg"])) if isinstance(truth, dict) else None
    except (KeyError, TypeError, ValueError):
        return None
