"""What a pilot is told when it starts."""

from __future__ import annotations

import os
import platform
import shlex
import socket
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grid.moving.items import Means
from iceprod.batch import devices
from iceprod.transport import ClientError
from iceprod.walls.containers import Containers
from iceprod.walls.sandbox import Sandbox, View

__all__ = ["Options", "OwnToken", "TokenFile", "default_memory", "gpu_kind", "means_from", "slot_resource"]

_COMMAND = "ICEPROD_TRANSFER_"  # and a scheme, in capitals: the name of a variable with its command
_TEMP = "ICEPROD_TEMP"
_EARLY_SECONDS = 60.0  # before a token's end we use it no more


@dataclass
class TokenFile:
    """A token that may be renewed in its file while we run."""

    path: Path

    def __call__(self) -> str:
        try:
            return self.path.read_text(encoding="ascii").strip()
        except OSError as error:
            raise ClientError(f"cannot read the token file {self.path}: {error.strerror}") from None


@dataclass
class OwnToken:
    """The token that the server gave us when we registered; without one, or after its end, the file's."""

    file: TokenFile
    token: str = ""
    ends: float = 0.0  # of `time.monotonic`: the server's clock and ours may differ
    life: float = 0.0  # seconds that it lasted when we got it

    def __call__(self) -> str:
        return self.token if time.monotonic() < self.ends - _EARLY_SECONDS else self.file()

    @property
    def is_old(self) -> bool:
        """Whether it is time for another."""
        return bool(self.token) and time.monotonic() > self.ends - max(2 * _EARLY_SECONDS, self.life / 4)

    def take(self, answer: dict[str, object]) -> str:
        """Go on as the pilot that a registration's answer names; its id."""
        self.token = ""
        self.renew(answer)
        return str(answer["result"])

    def renew(self, answer: dict[str, object]) -> None:
        """Take over the token of an answer, if it has one."""
        if token := answer.get("token"):
            self.token, self.life = str(token), float(str(answer.get("expires_in") or 0))
            self.ends = time.monotonic() + self.life

    def drop(self) -> None:
        """Be nobody in particular again."""
        self.token, self.ends = "", 0.0


@dataclass
class Options:
    """Where the server is, what the pilot offers, and when it ends. Times in seconds, sizes in GB."""

    server: str
    token_file: Path
    cores: int = 1
    memory: float = 4.0
    disk: float = 10.0
    slot_memory: float = 0.0  # at which the batch system ends us; 0: nobody does
    gpus: list[str] = field(default_factory=list)
    site: str = "local"
    grid_id: str = ""
    queue_id: str = ""  # of our job in the queue of a batch system
    batch: str = ""  # of the submit that brought us
    queue_host: str = ""  # whose queue that is
    queue_version: str = ""
    lifetime: float = 24 * 3600.0
    idle: float = 0.0  # end after so long without a task; 0: never
    tasks: int = 0  # to take in all; 0: any number
    heartbeat: float = 5.0
    wait: float = 30.0  # longest long poll for tasks
    directory: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    pixels: bool = True  # keep warm workers for tasks that reconstruct pixels
    means: Means = field(default_factory=Means)  # of moving files
    cache: float = 2.0  # of inputs that tasks have in common, on top of `disk`
    cache_directory: Path | None = None  # shared with other pilots here; None: our own
    isolation: str = "auto"  # of tasks; see `iceprod.walls.sandbox.ISOLATION`
    account: str = "nobody"  # that tasks run as when the pilot is root
    view: View = field(default_factory=View)  # what tasks see of this machine
    sandbox: Sandbox = field(default_factory=Sandbox)  # what came of these three
    containers: Containers = field(default_factory=Containers)  # systems that tasks may ask for
    host: str = field(default_factory=socket.gethostname)
    classads: dict[str, str] = field(default_factory=dict)  # of our job, that tasks asked for
    traces: bool = False  # record spans
    preemptible: float = 0.0  # hours that a task may take which is not restartable; 0: as many as we live
    gpu_kind: dict[str, Any] = field(default_factory=dict)  # what our GPUs can do at least

    def traits(self) -> dict[str, Any]:
        """Of which kind we are, in the words of a claim."""
        given = {"classads": self.classads, "preemptible": self.preemptible, **self.gpu_kind}
        return {name: value for name, value in given.items() if value}

    def registration(self, version: str) -> dict[str, object]:
        """The body of ``POST /pilots``."""
        body: dict[str, object] = {
            "queue_host": self.queue_host or self.host,
            "queue_version": self.queue_version or platform.python_version(),
            "host": self.host, "site": self.site, "version": version, "pid": os.getpid(),
            "isolation": self.sandbox.means, "shown": self.sandbox.shown(), "schemes": self.means.schemes(),
            "start_date": time.strftime("%Y-%m-%dT%H:%M:%S.000000", time.gmtime()),
            "resources": {"cpu": self.cores, "gpu": len(self.gpus), "memory": self.memory, "disk": self.disk,
                          "time": self.lifetime / 3600, "os": sorted(self.containers.systems),
                          **self.traits()}}
        if self.grid_id:
            body["grid_id"] = self.grid_id
        if self.queue_id:
            body["grid_queue_id"] = self.queue_id
        if resource := slot_resource(os.environ.get("_CONDOR_MACHINE_AD", "")):
            body["resource"] = resource
        if self.batch:
            body["batch"] = self.batch
        return body


def slot_resource(path: str) -> str:
    """Where below a pool's name a slot lies: a glidein's site and resource, as its machine ad tells."""
    try:
        lines = Path(path).read_text(encoding="utf8", errors="replace").splitlines() if path else []
    except OSError:
        lines = []
    pairs = (line.partition("=") for line in lines)
    told = {name.strip(): value.strip().strip('"') for name, _, value in pairs}
    names = [told.get(name, "") for name in ("GLIDEIN_Site", "GLIDEIN_ResourceName")]
    return "/".join(dict.fromkeys(name for name in names if name and name.lower() != "undefined"))[:200]


def gpu_kind(names: list[str]) -> dict[str, Any]:
    """What the GPUs of these names can do at least; nothing is asked where there are none."""
    return devices.offered(names, devices.devices_here()) if names else {}


def default_memory() -> float:
    """GB of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def means_from(pairs: list[str], temp: str, variables: Mapping[str, str] = os.environ,
               directors: Sequence[str] = ()) -> Means:
    """How files are moved: from words SCHEME=COMMAND, and from variables for what these do not say.

    Raises ValueError, which names the word.
    """
    commands = {name[len(_COMMAND):].lower(): command for name, command in variables.items()
                if name.startswith(_COMMAND)}
    for pair in pairs:
        scheme, command = _split(pair, "SCHEME=COMMAND")
        commands[scheme.lower()] = command
    for scheme, command in commands.items():
        if not ("{source}" in command and "{target}" in command):
            raise ValueError(f"the command for {scheme} needs {{source}} and {{target}}, got {command!r}")
        shlex.split(command)
    hosts = dict(_split(pair, "HOST=ADDRESS") for pair in directors)
    return Means(commands, temp or variables.get(_TEMP, ""), hosts)


def _split(pair: str, form: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not (name and equals and value):
        raise ValueError(f"expected {form}, not {pair!r}")
    return name, value
