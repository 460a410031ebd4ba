"""Measures what traces cost a server: the processor time of one request, with and without recording spans.

    python -m server.bench_traces --rounds 20 --json

Servers run as processes of their own on one embedded store, and are asked for the same task in turn: one that
carries ids alone, one that records and whose sampler takes no trace, and one that records every trace and
sends it to a collector here. `cpu_ms` is the median of what server and store computed for a request, which
other programs hardly change; `ratio` compares it with ids alone.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pymongo

from iceprod.tokens import encode, read_secret
from server.benching import measure, start_server, start_store
from server.production.bench import fill

__all__ = ["main", "run"]

REQUESTS = 200  # of a round
_RECORD = {"ICEPROD__TELEMETRY__TRACES": "true"}
WAYS = {"ids": {}, "sampled out": {**_RECORD, "OTEL_TRACES_SAMPLER": "always_off"},
        "recorded": {**_RECORD, "OTEL_TRACES_SAMPLER": "always_on"}}


def run(rounds: int) -> dict[str, Any]:
    """The figures, with what they were measured on."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        database, store = start_store(stack, folder)
        collector = stack.enter_context(_collector())
        client: pymongo.MongoClient[Any] = stack.enter_context(pymongo.MongoClient(database))
        [(dataset_id, task_id)] = fill(client["bench"], 10, 1)
        servers = {}
        for name, variables in WAYS.items():
            own = folder / name.replace(" ", "-")
            own.mkdir()
            more = {**variables, "OTEL_EXPORTER_OTLP_ENDPOINT": collector}
            port, process = start_server(stack, own, database, more)
            token = encode(read_secret(own / "server" / "secret"), "bench", ["admin", "system"])
            servers[name] = (port, token, process)
        paths = [f"/datasets/{dataset_id}/tasks/{task_id}"] * REQUESTS
        taken: dict[str, list[float]] = {name: [] for name in servers}
        for _ in range(rounds):  # in turn, so that what else goes on here meets all of them
            for name, (port, token, process) in servers.items():
                taken[name].append(measure(port, token, name, paths, (process, store)).cpu_ms)
    found = {name: statistics.median(values) for name, values in taken.items()}
    return {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} "
                   f"{platform.release()}, Python {platform.python_version()}",
        "load": os.getloadavg()[0], "rounds": rounds, "requests": REQUESTS,
        "ways": {name: {"cpu_ms": round(value, 3), "ratio": round(value / found["ids"], 3)}
                 for name, value in found.items()}}


@contextlib.contextmanager
def _collector() -> Iterator[str]:
    """Something that takes whatever comes; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def _table(result: dict[str, Any]) -> str:
    lines = [f"{result['machine']}, load {result['load']:.1f}: {result['rounds']} rounds of "
             f"{result['requests']} requests", f"{'':<14}{'CPU ms':>8}{'ratio':>8}"]
    return "\n".join([*lines, *(f"{name:<14}{way['cpu_ms']:>8.3f}{way['ratio']:>8.3f}"
                                for name, way in result["ways"].items())])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its figures."""
    parser = argparse.ArgumentParser(prog="python -m server.bench_traces", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20, help="of 200 requests of each kind (20)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args(arguments)
    result = run(asked.rounds)
    print(json.dumps(result, indent=1) if asked.json else _table(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
