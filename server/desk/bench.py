"""Measures how long the desk takes to answer with many candidates and galaxies in the database.

    python -m server.desk.bench --candidates 1000000 --galaxies 1000000 --json

A server and an embedded store run as processes of their own, in a temporary directory. Candidates (of ten
filters) and galaxies lie evenly over the sky. One client then asks for first pages of 25 rows: of everything
and of one filter, inside the 90 % regions of sky maps of several sizes, every time of another region, so that
no list is ready; a map is read when it is asked for the first time. `later pages` are asked for by the id of
a list. `first_ms` is the time until the answer begins, `total_ms` until it is there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import numpy as np
import psutil
import pymongo

from iceprod.tokens import encode, read_secret
from server.benching import Measurement, measure, memory, start_server, start_store
from server.desk.common.positions import hpix29_many
from server.desk.objects import objs

__all__ = ["main", "run"]

FILTERS = 10
ROUNDS = 20
ERRORS = {"10 deg2": 0.83, "100 deg2": 2.63, "1000 deg2": 8.3}  # Gaussian errors (degrees) by the 90 % area
INSERT_AT_ONCE = 5000
PAGE = 25
_FIRST_DAY = datetime(2020, 1, 1)


def run(candidates: int, galaxies: int, rounds: int = ROUNDS) -> dict[str, Any]:
    """Fill a store and measure; the figures, with what they were measured on."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory, contextlib.ExitStack() as stack:
        folder = Path(directory)
        url, store = start_store(stack, folder)
        port, server = start_server(stack, folder, url)
        token = encode(read_secret(folder / "server" / "secret"), "bench", ["admin"], groups=["bench"])
        client: pymongo.MongoClient[Any] = stack.enter_context(pymongo.MongoClient(url))
        desk = _Desk(f"http://127.0.0.1:{port}", token)
        numbers = desk.make_filters()
        started = time.monotonic()
        _fill(client["bench"], candidates, galaxies, numbers)
        filled = time.monotonic() - started
        maps = {name: [desk.make_map(error, number) for number in range(rounds)]
                for name, error in ERRORS.items()}
        before = memory(server, store)
        found = list(_measured(desk, port, (server, store), maps, numbers, rounds))
        return {
            "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} "
                       f"{platform.release()}, Python {platform.python_version()}",
            "load": os.getloadavg()[0], "candidates": candidates, "galaxies": galaxies,
            "fill_seconds": round(filled, 1), "megabytes_before": before,
            "megabytes_after": memory(server, store), "measurements": [asdict(item) for item in found]}


class _Desk:
    """The desk's API, as far as it is needed to prepare."""

    def __init__(self, url: str, token: str) -> None:
        self.url, self.token = url, token
        self.random = np.random.default_rng(1)

    def ask(self, path: str, body: dict[str, Any] | None = None) -> Any:
        """What the desk answers to a GET, or to a POST of a body."""
        data = None if body is None else json.dumps(body).encode()
        asked = Request(self.url + path, data, {"Authorization": f"Bearer {self.token}"})
        with urlopen(asked, timeout=600) as answer:
            return json.load(answer)["data"]

    def make_filters(self) -> list[tuple[int, int]]:
        """Filters with the number of their group."""
        group = self.ask("/api/groups", {"name": "watchers"})["id"]
        stream = self.ask("/api/streams", {"name": "alerts"})["id"]
        self.ask(f"/api/groups/{group}/streams", {"stream_id": stream})
        return [(self.ask("/api/filters", {"name": f"filter {number}", "stream_id": stream,
                                            "group_id": group})["id"], group) for number in range(FILTERS)]

    def make_map(self, error: float, number: int) -> dict[str, str]:
        """A map somewhere in the sky; its names in a query."""
        ra, dec = float(self.random.uniform(0, 360)), float(np.degrees(np.arcsin(self.random.uniform(-1, 1))))
        dateobs = (_FIRST_DAY + timedelta(days=number, seconds=round(error * 100))).isoformat()
        found = self.ask("/api/gcn_event", {"dateobs": dateobs,
                                             "skymap": {"ra": ra, "dec": dec, "error": error}})
        return {"localizationDateobs": dateobs, "localizationName": found["localization_name"],
                "localizationCumprob": "0.9"}


# -- filling


def _fill(db: Any, candidates: int, galaxies: int, filters: Sequence[tuple[int, int]]) -> None:
    """Write objects with their candidates, and galaxies, as the server itself would."""
    for start, ra, dec in _places(candidates, seed=2):
        _fill_candidates(db, start, ra, dec, filters)
    for start, ra, dec in _places(galaxies, seed=3):
        pixels = hpix29_many(ra, dec).tolist()
        db.desk_galaxies.insert_many([
            {"_id": start + i + 1, "name": f"galaxy {start + i}", "ra": ra[i], "dec": dec[i],
             "hpix29": pixel, "catalog_name": "bench", "distmpc": (start + i) % 4000 / 10,
             "created_at": _FIRST_DAY, "modified": _FIRST_DAY} for i, pixel in enumerate(pixels)])


def _places(count: int, seed: int) -> Iterator[tuple[int, list[float], list[float]]]:
    """Directions that lie evenly over the sky, a few thousand at a time with the number of the first."""
    random = np.random.default_rng(seed)
    for start in range(0, count, INSERT_AT_ONCE):
        size = min(INSERT_AT_ONCE, count - start)
        dec = np.degrees(np.arcsin(random.uniform(-1, 1, size)))
        yield start, random.uniform(0, 360, size).tolist(), dec.tolist()


def _fill_candidates(db: Any, start: int, ra: list[float], dec: list[float],
                     filters: Sequence[tuple[int, int]]) -> None:
    rows, passages = [], []
    for i, pixel in enumerate(hpix29_many(ra, dec).tolist()):
        number = start + i
        filter_id, group_id = filters[number % len(filters)]
        rows.append({**dict.fromkeys(objs.FIELDS), "_id": f"object{number}", "ra": ra[i], "dec": dec[i],
                     "hpix29": pixel, "redshift_history": None, "created_at": _FIRST_DAY,
                     "modified": _FIRST_DAY})
        passages.append({"_id": number + 1, "obj_id": f"object{number}", "filter_id": filter_id,
                         "group_id": group_id, "passed_at": _FIRST_DAY + timedelta(minutes=number),
                         "passing_alert_id": number, "uploader_id": 1, "hpix29": pixel,
                         "created_at": _FIRST_DAY, "modified": _FIRST_DAY})
    db.desk_objs.insert_many(rows)
    db.desk_candidates.insert_many(passages)


# -- measuring


def _measured(desk: _Desk, port: int, processes: Sequence[psutil.Process],
              maps: dict[str, list[dict[str, str]]], filters: Sequence[tuple[int, int]],
              rounds: int) -> Iterator[Measurement]:
    first = str(filters[0][0])
    for name, regions in maps.items():
        for what, path in ((f"a new map of {name}", "/api/galaxy_catalog"),
                           (f"candidates in {name}", "/api/candidates"),
                           (f"galaxies in {name}", "/api/galaxy_catalog")):
            paths = [f"{path}?{urlencode({**region, 'numPerPage': PAGE})}" for region in regions]
            yield measure(port, desk.token, what, paths, processes)
        asked = [{**region, "numPerPage": PAGE, "filterIDs": first} for region in regions]
        paths = [f"/api/candidates?{urlencode(query)}" for query in asked]
        yield measure(port, desk.token, f"one filter in {name}", paths, processes)
    region = maps["1000 deg2"][0]
    query = {**region, "numPerPage": PAGE,
             "queryID": desk.ask(f"/api/candidates?{urlencode(region)}")["queryID"]}
    paths = [f"/api/candidates?{urlencode({**query, 'pageNumber': 2 + number})}" for number in range(rounds)]
    yield measure(port, desk.token, "later pages", paths, processes)


# -- command line


def _table(result: dict[str, Any]) -> str:
    lines = [
        f"{result['machine']}, load {result['load']:.1f}: {result['candidates']} candidates, "
        f"{result['galaxies']} galaxies, written in {result['fill_seconds']} s",
        f"memory in MB: {result['megabytes_before']} before, {result['megabytes_after']} after",
        f"{'':<26}{'bytes':>10}{'total p50':>11}{'p99 ms':>9}{'CPU ms':>9}"]
    lines += [f"{row['name']:<26}{row['bytes']:>10}{row['total_ms'][0]:>11.1f}{row['total_ms'][1]:>9.1f}"
              f"{row['cpu_ms']:>9.1f}" for row in result["measurements"]]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m server.desk.bench", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=1_000_000, help="how many (1000000)")
    parser.add_argument("--galaxies", type=int, default=1_000_000, help="how many (1000000)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="requests of each kind (20)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(arguments)
    result = run(asked.candidates, asked.galaxies, asked.rounds)
    print(json.dumps(result, indent=1) if asked.json else _table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
