"""Scans for tests: a simulated event, requests, and a pilot that makes up its results."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import requests

from config.detector import dom_positions
from scanner.events.directions import icrs_to_detector
from scanner.events.event import Event, Particle, Pulses
from scanner.events.writer import write_event
from scanner.maps import healpix
from scanner.maps.growth import grown_pixels
from scanner.maps.levels import Progression, first_pixels, next_pixels
from scanner.maps.result import nan_rows
from scanner.maps.rows import rows_from_table

__all__ = ["PixelPilot", "made_up_map", "made_up_rows", "scan_body", "simulated_event", "wait_for"]

_MJD = 60000.0
_OFFER = {"cpu": 1, "memory": 4.0, "disk": 10.0, "time": 10.0}
_C, _INDEX, _CHERENKOV = 0.299792458, 1.3195, np.arccos(1 / 1.3195)  # m/ns; ice; rad


def simulated_event(seed: int = 1, run_id: int = 7,
                    online: tuple[float, float] | None = None) -> dict[str, Any]:
    """The JSON of a made-up muon track: direct Cherenkov light on the nearest DOMs.

    With the direction (degrees) of an online reconstruction the event tells that, energy and signalness too.
    """
    generator = np.random.default_rng(seed)
    zenith, azimuth = np.radians(100.0), np.radians(40.0)
    source = [np.sin(zenith) * np.cos(azimuth), np.sin(zenith) * np.sin(azimuth), np.cos(zenith)]
    way = -np.array(source)
    place = dom_positions()[:78].reshape(-1, 3)
    along = place @ way
    distance = np.linalg.norm(place - along[:, None] * way, axis=1)
    hit = np.flatnonzero(distance < 60.0)
    delay = distance[hit] * (_INDEX / np.sin(_CHERENKOV) - 1 / np.tan(_CHERENKOV))
    times = 10_000.0 + (along[hit] + delay) / _C + generator.exponential(20.0, len(hit))
    n = len(hit)
    pulses = Pulses(
        (hit // 60 + 1).astype(np.int16),
        (hit % 60 + 1).astype(np.int16),
        times,
        np.maximum(0.5, 40.0 / distance[hit]).astype(np.float32),
        np.full(n, 10.0, np.float32),
        np.ones(n, np.uint8),
    )
    truth = Particle(float(zenith), float(azimuth), 0.0, 0.0, 0.0, 10_000.0)
    recos = {} if online is None else {"OnlineL2_SplineMPE": _online(*online)}
    document = write_event(Event(run_id, 0, 11, "neutrino", _MJD, False, pulses, pulses, recos, truth))
    if online is not None:
        energy = {"truncated": 77406.3}
        document["value"]["data"] |= {"signalness": 0.62, "far": 1.1e-8, "reco": {"energy": energy}}
    return document


def _online(ra: float, dec: float) -> Particle:
    zenith, azimuth = icrs_to_detector(np.radians(ra), np.radians(dec), _MJD)
    return Particle(float(zenith), float(azimuth), 0.0, 0.0, 0.0, 10_000.0)


def scan_body(**changes: Any) -> dict[str, Any]:
    """A request for a small scan by our own workers; `...` removes an argument."""
    body = {
        "docker_tag": "latest",
        "reco_algo": "track_mpe",
        "nsides": {"2": 0, "8": 4},
        "real_or_simulated_event": "simulated",
        "max_pixel_reco_time": 60,
        "request_clusters": {"local": 1},
        "event_i3live_json": simulated_event(),
        **changes,
    }
    return {name: value for name, value in body.items() if value is not ...}


def made_up_rows(nside: int, pixels: np.ndarray) -> np.ndarray:
    """Results that depend on the direction alone; every 17th fit fails."""
    table = nan_rows(pixels)
    ra, dec = (np.radians(angle) for angle in healpix.centres(nside, pixels))
    table["llh"] = 500.0 - 80.0 * np.cos(dec - 0.3) * np.cos(ra - 2.0) + np.sin(11 * ra) * np.cos(7 * dec)
    for name in ("X", "Y", "Z", "T"):
        table[name] = table["llh"] / 3.0
    table["llh"][pixels % 17 == 3] = np.nan
    return table


def made_up_map(nsides: str) -> dict[int, np.ndarray]:
    """The final map of a scan with made-up results, worked out here and at once."""
    progression = Progression.parse(nsides)
    nside = progression.levels[0].nside
    results = {nside: made_up_rows(nside, first_pixels(progression))}
    while wanted := next_pixels(progression, results) or _grown(progression, results):
        for nside, pixels in wanted.items():
            tables = [results[nside]] if nside in results else []
            results[nside] = np.sort(np.concatenate([*tables, made_up_rows(nside, pixels)]), order="index")
    return results


def _grown(progression: Progression, results: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    known = {nside: table["index"] for nside, table in results.items()}
    return grown_pixels(progression, results, known, "track_mpe") if progression.grows else {}


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 300.0) -> None:
    """Look again and again until the condition holds; AssertionError when it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s in vain for {what}"
        time.sleep(0.05)


@dataclass
class PixelPilot:
    """A pilot without a scanner: it leases batches and sends made-up results."""

    session: requests.Session
    random: random.Random = field(default_factory=lambda: random.Random(1))
    pilot_id: str = ""
    host: str = ""
    done: int = 0

    def register(self, host: str = "here") -> PixelPilot:
        self.host = host
        answer = self.session.post(
            "/pilots",
            json={
                "queue_host": "test",
                "queue_version": "1",
                "version": "1",
                "host": host,
                "site": "test",
                "resources": _OFFER,
            },
        )
        self.pilot_id = answer.json()["result"]
        return self

    def claim(self, num: int = 1) -> list[dict[str, Any]]:
        """Lease batches; [] when there are none."""
        body = {"num": num, "requirements": _OFFER, "start": True, "pilot_id": self.pilot_id}
        answer = self.session.post("/task_actions/queue_many", json=body)
        assert answer.status_code in (200, 404), answer.text
        return answer.json() if answer.status_code == 200 else []

    def result(self, task: dict[str, Any]) -> dict[str, Any]:
        payload = task["payload"]
        table = made_up_rows(payload["nside"], np.array(payload["pixels"]))
        return {
            "instance_id": task["instance_id"],
            "rows": rows_from_table(table),
            "seconds": 0.01,
            "cpu_seconds": 0.01,
            "host": self.host,
        }

    def put(self, task: dict[str, Any]) -> requests.Response:
        answer = self.session.put(f"/pixel_batches/{task['task_id']}", json=self.result(task))
        self.done += answer.status_code == 200
        return answer

    def work(self, num: int = 1) -> int:
        """One round of leasing and doing, in any order; how many batches were done."""
        tasks = self.claim(num)
        self.random.shuffle(tasks)
        return sum(self.put(task).status_code == 200 for task in tasks)
