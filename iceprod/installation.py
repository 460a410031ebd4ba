"""An installation on this machine: its directory, what runs in it, and how its owner's commands find it.

In the data directory: ``secret`` signs tokens, ``up.lock`` is held by the running supervisor, ``up.json``
says where it answers, ``logs/`` has what its processes print. All of it is for its owner alone. A record per
user, below ``$XDG_STATE_HOME/iceprod``, names the directories of running installations.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import msgspec

from config.settings import Tokens
from iceprod import tokens

__all__ = ["Installation", "Running", "make_private", "running_installations", "write_private"]

_OWN_TOKEN_HOURS = 24.0
_LOCK_SECONDS = 0.3  # longer than anybody needs who only looks whether it is held
_OURS = frozenset({"secret", "up.lock", "up.json", "logs", "store", "tokens", "metrics", "grid.id",
                   "work"})


class Running(msgspec.Struct, frozen=True):
    """What ``up.json`` says of a running installation."""

    pid: int
    url: str
    data: str
    started: str
    secret_file: str = "secret"
    start_id: str = ""  # which the server tells at /healthz
    not_isolated: str = ""  # why tasks on this machine run without walls; empty when they do not


class Installation:
    """A data directory and what is in it."""

    def __init__(self, data: Path | str) -> None:
        self.data = Path(data).absolute()
        self.logs = self.data / "logs"
        self.lock_file = self.data / "up.lock"
        self.up_file = self.data / "up.json"
        self.store = self.data / "store"

    # -- running

    @contextlib.contextmanager
    def lock(self) -> Iterator[bool]:
        """Try to become the one supervisor; whether we are. The lock ends with the process."""
        make_private(self.data)
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            ours = _flock(descriptor, _LOCK_SECONDS)
            if ours:
                os.truncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()}\n".encode())
            yield ours
        finally:
            os.close(descriptor)

    def is_running(self) -> bool:
        """Whether a supervisor holds the lock."""
        try:
            descriptor = os.open(self.lock_file, os.O_RDWR)
        except OSError:
            return False
        try:
            return not _flock(descriptor)
        finally:
            os.close(descriptor)

    def supervisor(self) -> int:
        """The process that holds the lock; 0 when none does."""
        if not self.is_running():
            return 0
        text = self.lock_file.read_text(encoding="ascii").strip()
        return int(text) if text.isdigit() else 0

    def running(self) -> Running | None:
        """Where the running supervisor answers; None when none runs or it has only just begun."""
        if not self.is_running():
            return None
        try:
            return msgspec.json.decode(self.up_file.read_bytes(), type=Running)
        except (OSError, msgspec.MsgspecError):
            return None

    def announce(self, running: Running) -> None:
        """Say that we run, here and in the user's record."""
        write_private(self.up_file, msgspec.json.format(msgspec.json.encode(running)))
        with contextlib.suppress(OSError):  # a home that cannot be written: commands then need --data
            make_private(_records())
            write_private(self._record(), str(self.data).encode())

    def withdraw(self) -> None:
        """Take back what `announce` said."""
        for path in (self.up_file, self._record()):
            with contextlib.suppress(OSError):
                path.unlink()

    def _record(self) -> Path:
        return _records() / hashlib.sha256(str(self.data).encode()).hexdigest()[:16]

    # -- tokens

    def token(self, username: str, *roles: str, hours: float = _OWN_TOKEN_HOURS, **claims: str) -> str:
        """A token of this installation, whose secret is made if there is none. Raises OSError."""
        return tokens.encode(self._secret(), username, roles, hours=hours, **claims)

    def login_address(self, username: str, *roles: str, target: str = "/web/") -> str:
        """An address that logs a browser in, once and soon; empty when nothing runs. Raises OSError."""
        running = self.running()
        if running is None:
            return ""
        query = {"once": tokens.encode_login(self._secret(), username, roles)}
        if target != "/web/":
            query["next"] = target
        return f"{running.url}/web/login/once?{urlencode(query)}"

    def _secret(self) -> str:
        running = self.running()
        return tokens.read_secret(self.data / (running.secret_file if running else Tokens().secret_file))


def make_private(directory: Path) -> None:
    """Make a directory that only its owner may enter; an existing one is narrowed if all in it is ours."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.stat()
    if status.st_mode & 0o077 and status.st_uid == os.getuid() and _is_ours(directory):
        directory.chmod(0o700)


def _is_ours(directory: Path) -> bool:
    return all(entry.name in _OURS or entry.name.endswith((".log", ".json")) for entry in directory.iterdir())


def write_private(path: Path, content: bytes) -> None:
    """Replace a file at once by one that only its owner may read."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    partial.replace(path)


def running_installations() -> list[Installation]:
    """This user's installations that run now, by directory."""
    found = []
    with contextlib.suppress(OSError):
        for record in _records().iterdir():
            with contextlib.suppress(OSError, UnicodeDecodeError):
                found.append(Installation(record.read_text(encoding="utf8")))
    return sorted((one for one in found if one.running()), key=lambda one: str(one.data))


def _records() -> Path:
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "iceprod" / "running"


def _flock(descriptor: int, seconds: float = 0.0) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.02)
        else:
            return True
