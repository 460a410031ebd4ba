"""Secrets of a whole installation: where they are, and where they are not."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from iceprod.tokens import encode
from iceprod.transport import Client, Refused
from tests.support.installation import Installed, installation, wait_until

pytestmark = pytest.mark.slow

TOKEN = re.compile(rb"eyJ[\w-]+\.[\w-]+\.[\w-]+")
NO_CORES = re.compile(r"Max core file size\s+0\s+0\s")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """An installation that ran a task, and whose server was asked in vain."""
    with installation(tmp_path_factory.mktemp("secrets"), LOGGING__LEVEL="DEBUG") as running:
        with running.client() as client:
            config = {"version": 3.2, "description": "d", "tasks": [
                {"name": "one", "trays": [{"modules": [{"src": "/bin/true"}]}]}]}
            body = {"config": config, "description": "d", "jobs_submitted": 1}
            asked = client.post("/actions/submit", body)
            wait_until(lambda: client.get("/task_counts/status").get("complete"))
            assert asked
            old = encode((running.data / "secret").read_text().strip(), "eve", ["user"], hours=-1)
            with pytest.raises(Refused), Client(client.url, old) as eve:
                eve.get(f"/datasets?token={old}")
        yield running


def processes(here: Installed) -> list[psutil.Process]:
    """All processes of the installation but short-lived ones."""
    found = [psutil.Process(pid) for pid in here.processes()]
    assert len(found) >= 4, "supervisor, store, server and grid at least"
    return found


def secrets(here: Installed) -> list[bytes]:
    return [path.read_bytes().strip() for path in here.data.rglob("*")
            if path.is_file() and path.name in ("secret", "token", "admin-token") and path.stat().st_size]


def test_no_process_shows_a_secret(here: Installed) -> None:
    known = secrets(here)
    assert known
    for process in processes(here):
        for shown in (*process.cmdline(), *process.environ().values()):
            assert not TOKEN.search(shown.encode()), process
            assert not any(secret in shown.encode() for secret in known), process


def test_no_process_leaves_a_core_dump(here: Installed) -> None:
    for process in processes(here):
        limits = Path(f"/proc/{process.pid}/limits").read_text()
        assert NO_CORES.search(limits), (process, limits)


def test_no_log_holds_a_secret(here: Installed) -> None:
    known, seen = secrets(here), 0
    for path in here.data.rglob("*.log*"):
        text = path.read_bytes()
        seen += len(text)
        assert not TOKEN.search(text), path
        assert not any(secret in text for secret in known), path
    assert seen > 1000


def test_files_are_for_their_owner_alone(here: Installed) -> None:
    others, modes = stat.S_IRWXG | stat.S_IRWXO, here.files()
    open_to_others = [path for path, mode in modes.items() if not stat.S_ISLNK(mode) and mode & others
                      and not any(parent.stat().st_mode & others == 0 for parent in _inside(here, path))]
    assert here.data.stat().st_mode & others == 0
    assert open_to_others == []
    for path, mode in modes.items():
        if stat.S_ISREG(mode) and path.name in ("secret", "token", "admin-token"):
            assert stat.S_IMODE(mode) == 0o600, path


def _inside(here: Installed, path: Path) -> Iterator[Path]:
    """The folders of the installation that a path is in."""
    yield from (parent for parent in path.parents if parent == here.data or here.data in parent.parents)
