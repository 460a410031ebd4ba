"""A small server that speaks the pilot's part of the REST API and remembers what it was told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from grid.pilot.options import Options

INSTANCE = "lease-1"


class FakeServer:
    """Hands out `tasks`, and records every request as (method, path, body)."""

    def __init__(self) -> None:
        self.tasks: list[dict[str, Any]] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.answers: dict[tuple[str, str], tuple[int, Any]] = {}  # what is answered instead
        self.stop: list[str] = []
        self.watch: list[str] = []
        self.drain = False
        self.lease_seconds, self.grace_seconds = 60.0, 7200.0
        self.changed = threading.Condition()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()

    def add(self, payload: dict[str, Any], kind: str = "script", **fields: Any) -> str:
        """Put a task where the next claim finds it; its id."""
        with self.changed:
            task_id = f"task{len(self.requests)}{len(self.tasks)}{time.monotonic_ns()}"
            self.tasks.append({"task_id": task_id, "dataset_id": "d1", "instance_id": INSTANCE, "kind": kind,
                               "requirements": {"cpu": 1}, "lease_seconds": self.lease_seconds,
                               "grace_seconds": self.grace_seconds,
                               "payload": payload, **fields})
            self.changed.notify_all()
            return task_id

    def wait_for(self, path_end: str, count: int = 1, seconds: float = 20.0) -> list[Any]:
        """The bodies of requests to paths that end so, once there are `count`."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.bodies(path_end)) >= count, seconds), self.requests
            return self.bodies(path_end)

    def bodies(self, path_end: str) -> list[Any]:
        return [body for _, path, body in self.requests if path.endswith(path_end)]

    def _answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        if (method, path) in self.answers:
            return self.answers[method, path]
        if path == "/pilots":
            return 201, {"result": "pilot-1"}
        if path.endswith("/exchange"):
            return self._exchange(path, body)
        if path == "/task_actions/report_many":
            with self.changed:
                return self._report(body["reports"])
        if path.startswith("/i3-events/"):
            return 200, {"i3_event": {"name": path.rpartition("/")[2]}}
        return 200, {}

    def _exchange(self, path: str, body: dict[str, Any]) -> tuple[int, Any]:
        """Remember the parts of an exchange as requests of their own."""
        answer: dict[str, Any] = {"lease_seconds": self.lease_seconds, "grace_seconds": self.grace_seconds,
                                  "stop": self.stop, "drain": self.drain}
        if self.watch:
            answer["watch"] = self.watch
        parts = {path.replace("exchange", "heartbeat"): {"tasks": body["tasks"]}}
        if "reports" in body:
            parts["/task_actions/report_many"] = {"reports": body["reports"]}
        if "claim" in body:
            parts["/task_actions/queue_many"] = {**body["claim"], "pilot_id": path.split("/")[2]}
        with self.changed:
            self.requests += [("POST", part, said) for part, said in parts.items()]
        for part in parts:
            if ("POST", part) in self.answers:
                return self.answers["POST", part]
        if "reports" in body:
            with self.changed:
                status, results = self._report(body["reports"])
            if status != 200:
                return status, results
            answer |= results
        if "claim" in body:
            answer["tasks"] = self._lease(body["claim"])
        return 200, answer

    def _report(self, rows: list[dict[str, Any]]) -> tuple[int, Any]:
        """Remember a batch of ends as if each had been reported, with its logs, by itself."""
        results = []
        for row in rows:
            end = dict(row)
            task_id, outcome = end.pop("task_id"), end.pop("outcome")
            path = f"/tasks/{task_id}/task_actions/{outcome}"
            for name, text in end.pop("logs", {}).items():
                self.requests.append(("POST", "/logs", {"task_id": task_id, "name": name, "data": text}))
            if stats := end.pop("stats", None):
                self.requests.append(("POST", f"/tasks/{task_id}/task_stats", stats))
            self.requests.append(("POST", path, end))
            status, answer = self.answers.get(("POST", path), (200, {}))
            if status == 503:
                return status, answer
            results.append({"task_id": task_id, "status": status, "reason": answer.get("reason", "")})
        return 200, {"results": results}

    def _lease(self, claim: dict[str, Any]) -> list[dict[str, Any]]:
        with self.changed:
            self.changed.wait_for(lambda: self.tasks, min(claim["wait"], 0.3))
            return [self.tasks.pop(0) for _ in range(min(claim["num"], len(self.tasks)))]

    def _handler(fake) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *arguments: Any) -> None:
                pass

            def _do(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "null")
                status, answer = fake._answer(self.command, self.path, body)
                with fake.changed:
                    fake.requests.append((self.command, self.path, body))
                    fake.changed.notify_all()
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _do

        return Handler


@pytest.fixture
def server() -> Iterator[FakeServer]:
    fake = FakeServer()
    yield fake
    fake.close()


@pytest.fixture
def options(server: FakeServer, tmp_path: Path) -> Options:
    token = tmp_path / "token"
    token.write_text("secret")
    return Options(server=server.url, token_file=token, cores=2, memory=4.0, disk=10.0, heartbeat=0.1,
                   wait=0.2, directory=tmp_path, pixels=False, host="testhost")
