"""Datasets and scans as objects: submit, wait with progress, read what came out. ::

    from iceprod.client import connect

    with connect() as ice:
        scan = ice.scan("event.json")
        scan.wait(progress=print)
        print(scan.best_fit.ra_deg, scan.best_fit.dec_deg)
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from config.json_text import decode
from iceprod.following import follow_dataset, follow_scan
from iceprod.submission import RECO, dataset_of, scan_request, submit_dataset
from iceprod.transport import Client, ClientError

__all__ = ["BestFit", "Dataset", "DatasetProgress", "Scan", "ScanProgress", "Session", "WorkFailed"]

_PATIENCE = 60.0
_P = TypeVar("_P")


class WorkFailed(ClientError):
    """The work is over and there is no result; the text says why."""


@dataclass(frozen=True)
class BestFit:
    """The most likely direction so far: degrees, HEALPix nside and pixel, and minus the log-likelihood."""

    ra_deg: float
    dec_deg: float
    llh: float
    nside: int
    pixel: int


@dataclass(frozen=True)
class ScanProgress:
    """How far a scan is. `document` has all that the server tells."""

    state: str
    reason: str
    pixels_done: int
    pixels_total: int
    seconds_left: float | None
    best_fit: BestFit | None
    area_50_deg2: float | None
    area_90_deg2: float | None
    level_set: str | None  # which calibration the areas are by
    is_final: bool
    document: dict[str, Any]

    def __str__(self) -> str:
        best = self.best_fit
        where = f", best fit RA {best.ra_deg:.3f} Dec {best.dec_deg:+.3f}" if best else ""
        return f"{self.pixels_done}/{self.pixels_total} pixels{where}"


@dataclass(frozen=True)
class DatasetProgress:
    """How far a dataset is: its status, and how many of its tasks there are in each status."""

    status: str
    tasks: dict[str, int]
    tasks_total: int

    @property
    def is_complete(self) -> bool:
        return self.status == "complete"

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {status}" for status, count in self.tasks.items() if count)
        return f"{self.status}: {counts or 'no tasks yet'}"


class Scan:
    """A scan on the server."""

    def __init__(self, client: Client, scan_id: str) -> None:
        self.client, self.scan_id = client, scan_id

    @property
    def url(self) -> str:
        """Where people see it."""
        return f"{self.client.url}/web/scans/{self.scan_id}"

    def progress(self) -> ScanProgress:
        """How far it is now."""
        return _scan_progress(self.client.get(f"/scan/{self.scan_id}/progress", patience=_PATIENCE))

    def follow(self) -> Iterator[ScanProgress]:
        """How far it is, again whenever there is news, until it is over."""
        return map(_scan_progress, follow_scan(self.client, self.scan_id))

    def wait(self, progress: Callable[[ScanProgress], object] | None = None, *,
             timeout: float | None = None) -> ScanProgress:
        """Wait until the map is final, and call `progress` whenever there is news.

        Raises WorkFailed when there will be no map, TimeoutError after `timeout` seconds.
        """
        return scan_result(self.scan_id, _last(self.follow(), progress, timeout))

    @property
    def best_fit(self) -> BestFit:
        """The most likely direction so far. Raises WorkFailed while there is none."""
        best = self.progress().best_fit
        if best is None:
            raise WorkFailed(f"scan {self.scan_id} has no best fit yet")
        return best

    def result(self) -> dict[str, Any]:
        """The map as far as it is known, as icecube-skyreader reads it."""
        return dict(self.client.get(f"/scan/{self.scan_id}/skymap.json", timeout=120, patience=_PATIENCE))

    def products(self) -> dict[str, str]:
        """The files that can be made of the map: names and what each holds."""
        listed = self.client.get(f"/scan/{self.scan_id}/products", patience=_PATIENCE)["products"]
        return {product["name"]: product["description"] for product in listed}

    def save(self, product: str, path: str | Path | None = None) -> Path:
        """Store one of the products, such as ``multiorder.wilks.fits``; the path (default: its name)."""
        content = self.client.get(f"/scan/{self.scan_id}/products/{product}", timeout=120, patience=_PATIENCE)
        target = Path(path or product)
        target.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return target

    def abort(self) -> None:
        """End it before it is done; what it found so far stays readable."""
        self.client.delete(f"/scan/{self.scan_id}", body={})


class Dataset:
    """A dataset on the server."""

    def __init__(self, client: Client, dataset_id: str) -> None:
        self.client, self.dataset_id = client, dataset_id

    def progress(self) -> DatasetProgress:
        """How far it is now."""
        return next(self.follow())

    def follow(self) -> Iterator[DatasetProgress]:
        """How far it is, once a second, until it is over."""
        for told in follow_dataset(self.client, self.dataset_id):
            counts = {status: count for status, count in told["tasks"].items() if count}
            yield DatasetProgress(told["status"], counts, told["tasks_submitted"])

    def wait(self, progress: Callable[[DatasetProgress], object] | None = None, *,
             timeout: float | None = None) -> DatasetProgress:
        """Wait until it is complete, and call `progress` once a second.

        Raises WorkFailed when it was suspended or ended with errors, TimeoutError after `timeout` seconds.
        """
        return dataset_result(self.dataset_id, _last(self.follow(), progress, timeout))

    def tasks(self, status: str | None = None) -> list[dict[str, Any]]:
        """Its tasks, or those in one status."""
        query = {"status": status} if status else None
        return list(self.client.get(f"/datasets/{self.dataset_id}/tasks", query, patience=_PATIENCE).values())

    def logs(self, task_id: str) -> dict[str, str]:
        """What a task printed when it ran last, by the name of the log."""
        path = f"/datasets/{self.dataset_id}/tasks/{task_id}/logs"
        found = self.client.get(path, {"group": "true"}, patience=_PATIENCE)["logs"]
        return {log["name"]: log.get("data", "") for log in found}

    def suspend(self) -> None:
        """Hold it back: what waits does not start, what runs is stopped."""
        self.client.put(f"/datasets/{self.dataset_id}/status", {"status": "suspended"}, patience=_PATIENCE)


class Session:
    """Submits datasets and scans. `client` sends any other request."""

    def __init__(self, client: Client) -> None:
        self.client = client

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self.client.__exit__()

    def scan(self, event: str | Path | dict[str, Any], *, reco_algo: str = RECO, nsides: str | None = None,
             is_real: bool | None = None) -> Scan:
        """Start a scan of a realtime event: a file, or what such a file holds.

        Levels such as ``8:0,64:12`` are scanned as they are; the usual ones grow as the regions need.
        Raises Refused when the server does not take it, ValueError for a file or levels that are none.
        """
        document = event if isinstance(event, dict) else decode(Path(event).read_bytes(), gaps=True)
        request = scan_request(document, reco_algo, nsides, is_real)
        return Scan(self.client, str(self.client.post("/scan", request, timeout=120, patience=10)["scan_id"]))

    def submit(self, config: str | Path | dict[str, Any], *, jobs: int = 1, description: str = "",
               group: str = "users", priority: float = 0.5) -> Dataset:
        """Submit a dataset: a YAML or JSON file, or what such a file holds.

        Raises ConfigError for a configuration that could not run, Refused when the server does not take it.
        """
        document = config if isinstance(config, dict) else yaml.safe_load(Path(config).read_bytes())
        dataset = dataset_of(document, jobs, description, group, priority)
        return Dataset(self.client, submit_dataset(self.client, dataset, document))

    def scan_of(self, scan_id: str) -> Scan:
        """A scan that is there already."""
        return Scan(self.client, scan_id)

    def dataset_of(self, dataset_id: str) -> Dataset:
        """A dataset that is there already."""
        return Dataset(self.client, dataset_id)


def scan_result(scan_id: str, last: ScanProgress) -> ScanProgress:
    """The last that was told of a scan. Raises WorkFailed when its map is not final."""
    if not last.is_final:
        raise WorkFailed(f"scan {scan_id} has no result: {last.reason or last.state}")
    return last


def dataset_result(dataset_id: str, last: DatasetProgress) -> DatasetProgress:
    """The last that was told of a dataset. Raises WorkFailed when it is not complete."""
    if not last.is_complete:
        raise WorkFailed(f"dataset {dataset_id} is not complete: {last}")
    return last


def _scan_progress(told: dict[str, Any]) -> ScanProgress:
    best = told["best_fit"]
    fit = BestFit(**{name: best[name] for name in BestFit.__dataclass_fields__}) if best else None
    return ScanProgress(
        told["state"], told["state_reason"] or "", told["pixels_done"], told["pixels_total"], told["eta_s"],
        fit, told["area_50_deg2"], told["area_90_deg2"], told["level_set"], told["is_final"], told)


def _last(news: Iterator[_P], tell: Callable[[_P], object] | None, timeout: float | None) -> _P:
    """The last of the news. Raises TimeoutError."""
    end = time.monotonic() + timeout if timeout is not None else None
    for one in news:
        if tell:
            tell(one)
        if end is not None and time.monotonic() > end:
            raise TimeoutError(f"not over after {timeout:g} s: {one}")
    return one
