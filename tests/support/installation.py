"""A whole installation in child processes, started and stopped with the ``iceprod`` command as users do.

    with installation(tmp_path, pilots=1) as here:
        here.iceprod("scan", event, "--json")

Every process that comes of it carries a mark in its environment, so that none can stay behind unseen.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from iceprod.client import Client

__all__ = ["PATIENCE", "Installed", "installation", "wait_until"]

MARK = "ICEPROD_TEST_MARK"
PATIENCE = 400.0  # seconds; only what never happens takes so long, however busy the machine is


def wait_until(what: Callable[[], Any], seconds: float = PATIENCE) -> Any:
    """Wait for something to be true; what it is then."""
    deadline = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


@dataclass
class Installed:
    """A data directory, and the command with an environment of its own."""

    root: Path
    settings: Mapping[str, object] = field(default_factory=dict)  # as in ICEPROD__LEASES__SECONDS
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def environment(self) -> dict[str, str]:
        mine = {MARK: self.mark, "XDG_STATE_HOME": str(self.root / "state"), "COLUMNS": "200",
                **{f"ICEPROD__{name}": str(value) for name, value in self.settings.items()}}
        return {**{k: v for k, v in os.environ.items() if not k.startswith("ICEPROD_")}, **mine}

    def start(self, *words: str | Path, **how: Any) -> subprocess.Popen[str]:
        """Start the command; its output can be read."""
        argv = [sys.executable, "-m", "iceprod", *map(str, words)]
        return subprocess.Popen(argv, env=self.environment, cwd=self.root, stdout=subprocess.PIPE,
                                stderr=subprocess.PIPE, text=True, **how)

    def iceprod(self, *words: str | Path, status: int = 0) -> str:
        """Run the command to its end; what it printed. Its exit status must be the one expected."""
        process = self.start(*words)
        out, err = process.communicate(timeout=PATIENCE)
        story = f"iceprod {words} ended with {process.returncode}\n{out}\n{err}\n{self.logs()}"
        assert process.returncode == status, story
        return out + err if status else out

    def up(self, *words: str, pilots: int = 1) -> str:
        return self.iceprod("up", "--data", self.data, "--port", "0", "--pilots", str(pilots), *words)

    def down(self) -> str:
        return self.iceprod("down", "--data", self.data)

    def client(self) -> Client:
        """A client with every role."""
        running = json.loads((self.data / "up.json").read_text())
        roles = "admin,user,system,pilot"
        token = self.iceprod("token", "--data", self.data, "--user", "test", "--roles", roles)
        return Client(running["url"], token.strip())

    def processes(self, *words: str) -> list[int]:
        """Living processes of this installation whose command line has these words."""
        return [pid for pid, line in self._processes() if all(word in line for word in words)]

    def kill(self, *words: str, number: int = signal.SIGKILL) -> list[int]:
        """Kill them as an out-of-memory killer would, or send another signal."""
        killed = self.processes(*words)
        for pid in killed:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
        return killed

    def wait_for_pilots(self, count: int = 1) -> None:
        """Wait until so many pilots wait for work."""
        with self.client() as client:
            wait_until(lambda: len(client.get("/pilots", patience=60)) >= count
                       and len(self.processes("scanner.worker")) >= count)

    def files(self) -> dict[Path, int]:
        """All of the data directory with their modes, but for what goes while one looks."""
        found = {self.data: self.data.lstat().st_mode}
        for folder, folders, names in os.walk(self.data):
            for path in (Path(folder, name) for name in (*folders, *names)):
                with contextlib.suppress(FileNotFoundError):
                    found[path] = path.lstat().st_mode
        return found

    def logs(self) -> str:
        """The ends of all logs, for a failing test."""
        files = sorted((self.data / "logs").glob("*.log"))
        return "\n".join(f"== {file.name}\n{file.read_text()[-3000:]}" for file in files)

    def _processes(self) -> Iterator[tuple[int, str]]:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if f"{MARK}={self.mark}".encode() in (entry / "environ").read_bytes():
                        yield int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()


@contextlib.contextmanager
def installation(root: Path, pilots: int | None = 1, **settings: object) -> Iterator[Installed]:
    """An installation that is up (unless `pilots` is None), stopped at the end; nothing of it may stay."""
    root.mkdir(parents=True, exist_ok=True)
    here = Installed(root, settings)
    try:
        if pilots is not None:
            here.up(pilots=pilots)
        yield here
        here.down()
        wait_until(lambda: not here.processes(), 60)
    finally:
        here.kill()
