"""No-op tasks through other systems, for comparison on the same machine in the same run.

A peer runs in its own interpreter: ``ICEPROD_BENCH_PEERS`` names a Python in whose environment the peers are
installed (default: ours). What cannot be measured is reported with the reason, never left out.

``fireworks``   FireWorks with one Firework per task, eight rapidfire processes, on our embedded store.
``parsl``       Parsl's HighThroughputExecutor with a no-op function, two workers.
``hyperqueue``  one job of so many /bin/true through its Python interface, one worker of all cores.
``iceprod``     IceProd's own REST server (PyPI) on our embedded store: tasks made, queued, started and
                completed with one request each, as its clients do, by eight processes that run nothing in
                between. `rate` counts from queueing to completion, `life` from making on.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

__all__ = ["PEERS", "measure"]

PEERS = ("fireworks", "parsl", "hyperqueue", "iceprod")
_SECONDS = 600.0

_PARSL = """
import json, sys, time, importlib.metadata, parsl
from parsl.config import Config
from parsl.executors import HighThroughputExecutor
from parsl.providers import LocalProvider
count = int(sys.argv[1])
parsl.load(Config(executors=[HighThroughputExecutor(label="h", max_workers_per_node=2, address="127.0.0.1",
                  provider=LocalProvider(init_blocks=1, max_blocks=1))], run_dir=sys.argv[2]))
@parsl.python_app
def nothing():
    return None
[f.result() for f in [nothing() for _ in range(20)]]
began = time.monotonic()
[f.result() for f in [nothing() for _ in range(count)]]
took = time.monotonic() - began
version = importlib.metadata.version("parsl")
print("RESULT", json.dumps({"rate": count / took, "version": version}), flush=True)
parsl.dfk().cleanup()
"""

_HYPERQUEUE = """
import json, sys, time, importlib.metadata
from hyperqueue import Job, LocalCluster
count = int(sys.argv[1])
with LocalCluster() as cluster:
    cluster.start_worker()
    client = cluster.client()
    def run(number):
        job = Job()
        for _ in range(number):
            job.program(["/bin/true"], stdout=None, stderr=None)
        client.wait_for_jobs([client.submit(job)])
    run(20)
    began = time.monotonic()
    run(count)
    took = time.monotonic() - began
    version = importlib.metadata.version("hyperqueue")
    print("RESULT", json.dumps({"rate": count / took, "version": version}), flush=True)
"""

_FIREWORKS = """
import json, sys, time, importlib.metadata, multiprocessing, os
from fireworks import Firework, FWorker, LaunchPad, PyTask
from fireworks.core.rocket_launcher import rapidfire
count, work, url = int(sys.argv[1]), sys.argv[2], sys.argv[3]
def pad():
    return LaunchPad(host=url, uri_mode=True, name="fw", strm_lvl="CRITICAL")
def worker(number):
    folder = os.path.join(work, str(number)); os.makedirs(folder); os.chdir(folder)
    rapidfire(pad(), FWorker(), nlaunches=0, strm_lvl="CRITICAL")
launchpad = pad(); launchpad.reset("", require_password=False)
began = time.monotonic()
launchpad.bulk_add_wfs([__import__("fireworks").Workflow([Firework(PyTask(func="builtins.int"))])
                        for _ in range(count)])
made = time.monotonic()
workers = [multiprocessing.Process(target=worker, args=(n,)) for n in range(8)]
[w.start() for w in workers]; [w.join() for w in workers]
took = time.monotonic() - made
done = launchpad.get_fw_ids({"state": "COMPLETED"}, count_only=True)
assert done == count, f"only {done} of {count} were done"
print("RESULT", json.dumps({"rate": count / took, "life": count / (time.monotonic() - began),
                            "version": importlib.metadata.version("fireworks")}), flush=True)
"""

_ICEPROD = """
import http.client, importlib.metadata, json, multiprocessing, os, socket, subprocess, sys, time
from rest_tools.utils import Auth
count, work, url = int(sys.argv[1]), sys.argv[2], sys.argv[3]
with socket.socket() as probe:
    probe.bind(("127.0.0.1", 0)); port = probe.getsockname()[1]
token = Auth("secret").create_token("bench", payload={
    "resource_access": {"iceprod": {"roles": ["iceprod-system"]}}, "groups": ["/tokens/IceProdAdmins"]})
token = token if isinstance(token, str) else token.decode()
settings = {**os.environ, "HOST": "127.0.0.1", "PORT": str(port), "DB_URL": url + "/iceprod",
            "CI_TESTING": "true", "LOG_LEVEL": "ERROR"}
def call(connection, method, path, body):
    connection.request(method, path, json.dumps(body or {}), {"Authorization": "Bearer " + token})
    answer = connection.getresponse(); text = answer.read()
    return answer.status, (json.loads(text) if answer.status < 400 else text)
def make(connection, dataset, number):
    for index in range(number):
        status, answer = call(connection, "POST", "/tasks", {
            "dataset_id": dataset, "job_id": "j%d" % index, "task_index": 0, "job_index": index, "name": "a",
            "depends": [], "requirements": {"cpu": 1, "memory": 1.0}, "status": "waiting"})
        assert status == 201, answer
def worker(number):
    connection = http.client.HTTPConnection("127.0.0.1", port)
    while True:
        status, task = call(connection, "POST", "/task_actions/queue",
                            {"requirements": {"cpu": 1, "memory": 4.0, "site": "bench"}})
        if status == 404:
            return
        assert status == 200, task
        for action in ("processing", "complete"):
            status, answer = call(connection, "POST", "/tasks/%s/task_actions/%s" % (task["task_id"], action),
                                  {"instance_id": task["instance_id"], "time_used": 0})
            assert status == 200, answer
def run(connection, dataset, number):
    began = time.monotonic()
    makers = [multiprocessing.Process(target=lambda n: make(http.client.HTTPConnection("127.0.0.1", port),
              dataset, n), args=(number // 8,)) for _ in range(8)]
    [m.start() for m in makers]; [m.join() for m in makers]
    made = time.monotonic()
    workers = [multiprocessing.Process(target=worker, args=(n,)) for n in range(8)]
    [w.start() for w in workers]; [w.join() for w in workers]
    ended = time.monotonic()
    status, tasks = call(connection, "GET", "/tasks?keys=status&status=complete", None)
    assert status == 200, tasks
    done = len(tasks["tasks"])
    return number / (ended - made), number / (ended - began), done
log = open(os.path.join(work, "server.log"), "wb")
server = subprocess.Popen([sys.executable, "-m", "iceprod.rest"], env=settings, stdout=log, stderr=log)
try:
    for _ in range(600):
        assert server.poll() is None, "its server ended: " + open(log.name).read()[-300:]
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port); connection.connect(); break
        except OSError:
            time.sleep(0.1)
    count = count // 8 * 8
    run(connection, "warm", 16)
    rate, life, done = run(connection, "bench", count)
    assert done == count + 16, "only %d of %d were done" % (done, count)
finally:
    server.terminate(); server.wait()
print("RESULT", json.dumps({"rate": rate, "life": life, "version": importlib.metadata.version("iceprod")}),
      flush=True)
"""

_SCRIPTS = {"parsl": _PARSL, "hyperqueue": _HYPERQUEUE, "fireworks": _FIREWORKS, "iceprod": _ICEPROD}
_MODULES = {"parsl": "parsl", "hyperqueue": "hyperqueue", "fireworks": "fireworks",
            "iceprod": "iceprod.rest"}
_WITH_STORE = ("fireworks", "iceprod")


def measure(name: str, tasks: int) -> dict[str, Any]:
    """Run a peer's no-op tasks; {peer, tasks, rate, version}, or {peer, reason}."""
    python = os.environ.get("ICEPROD_BENCH_PEERS", sys.executable)
    with tempfile.TemporaryDirectory(prefix="peer-") as work:
        probe = subprocess.run([python, "-c", f"import {_MODULES[name]}"], capture_output=True, text=True,
                               check=False, cwd=work, env=_environment(python))
        if probe.returncode:
            last = (probe.stderr.strip().splitlines() or ["it cannot be imported"])[-1]
            return {"peer": name, "reason": f"{last}; ICEPROD_BENCH_PEERS names the Python that has it"}
        return {"peer": name, "tasks": tasks, **_run(python, name, tasks, Path(work))}


def _run(python: str, name: str, tasks: int, work: Path) -> dict[str, Any]:
    arguments, store = [str(tasks), str(work / "run")], None
    (work / "run").mkdir()
    try:
        if name in _WITH_STORE:
            store, url = _store(work)
            arguments.append(url)
        script = work / "peer.py"
        script.write_text(_SCRIPTS[name])
        before = _processor_seconds(store)
        child = subprocess.run([python, str(script), *arguments], capture_output=True, text=True,
                               timeout=_SECONDS, check=False, cwd=work, env=_environment(python))
        spent = _processor_seconds(store) - before
    except subprocess.TimeoutExpired:
        return {"reason": f"not done within {_SECONDS:.0f} s"}
    finally:
        if store is not None:
            store.terminate()
            store.wait(30)
    for line in child.stdout.splitlines():
        if line.startswith("RESULT "):
            figures: dict[str, Any] = json.loads(line.removeprefix("RESULT "))
            if store is not None:
                figures["cpu"] = 1000 * spent / tasks  # from making on, with the start of all processes
            return {key: round(value, 1) if isinstance(value, float) else value
                    for key, value in figures.items()}
    return {"reason": (child.stderr.strip().splitlines() or ["it said nothing"])[-1][:300]}


def _processor_seconds(store: subprocess.Popen[bytes] | None) -> float:
    """Of the processes that we waited for, and of the store."""
    times = os.times()
    seconds = times.children_user + times.children_system
    if store is not None:
        own = psutil.Process(store.pid).cpu_times()
        seconds += own.user + own.system
    return seconds


def _environment(python: str) -> dict[str, str]:
    """Ours, with the programs of that Python's environment first, and none of our own modules.

    A peer has a package of the same name as one of ours.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {**kept, "PATH": f"{Path(python).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def _store(work: Path) -> tuple[subprocess.Popen[bytes], str]:
    """Our embedded store, for a peer; its process and address."""
    socket = work / "s.sock"
    argv = [sys.executable, "-m", "server.embedded", "serve", "--data", str(work / "store"), "--socket",
            str(socket)]
    with (work / "store.log").open("wb") as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log)
    deadline = time.monotonic() + 60
    while not socket.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    return process, "mongodb://" + str(socket).replace("/", "%2F")
