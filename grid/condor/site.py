"""A site file: which access point, what its pilots are like, and how many there may be.

Memory and disk are in GB, `*_hours`, `*_minutes` and `*_seconds` in what they say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from config.settings import Part, SettingsError, read_document, read_part

__all__ = ["Condor", "Gpu", "Limits", "Pace", "Pilot", "Site", "Size", "is_site_file", "load_site"]

_ATTRIBUTE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_RESERVED = ("iceprod", "request_", "executable", "arguments", "transfer_input_files", "log", "queue")


class Condor(Part, frozen=True):
    """The access point, and how we prove to it who we are."""

    config: str = ""  # HTCondor's configuration file; empty: where HTCondor itself looks
    schedd: str = ""  # name of the schedd; empty: the one of this machine
    collector: str = ""  # host:port that knows the named schedd; empty: as configured
    authentication: Literal["", "fs", "idtokens", "scitokens"] = ""  # empty: as configured
    token_directory: str = ""  # of idtokens; empty: as configured
    scitoken_file: str = ""  # of scitokens; empty: where HTCondor itself looks; read again at each connection
    accounting_group: str = ""
    # whether files travel to the schedd and back; auto: when it is on another machine
    spool: Literal["auto", "always", "never"] = "auto"


class Pilot(Part, frozen=True):
    """The pilot's job."""

    python: str = ""  # absolute path on the workers; empty: the python3 that `path` finds
    path: str = "/usr/local/bin:/usr/bin:/bin"
    image: str = ""  # of Apptainer or Singularity, as a file or an address
    environment: dict[str, str] = msgspec.field(default_factory=dict)
    classads: dict[str, str | int | float | bool] = msgspec.field(default_factory=dict)  # of the job
    submit: dict[str, str] = msgspec.field(default_factory=dict)  # more commands of the submit description
    requirements: str = ""  # which machines will do, as a ClassAd expression
    pixels: bool = True  # whether the scanner's packages are there
    idle_minutes: float = 10.0  # without a task it ends
    heartbeat_seconds: float = 5.0
    extra_memory: float = 0.25  # of the pilot itself, above what it offers
    register_minutes: float = 10.0  # a pilot that runs so long without the server hearing of it is removed
    transfers: dict[str, str] = msgspec.field(default_factory=dict)  # scheme: command {source} {target}
    cache_gb: float = 2.0  # of inputs that tasks have in common, on top of what a pilot offers
    cache_directory: str = ""  # on the workers, for all pilots there; empty: each has its own
    isolation: Literal["auto", "required", "off"] = "auto"  # of tasks: where possible, or run none, or never
    visible: list[str] = msgspec.field(default_factory=list)  # paths that tasks may read besides the system's
    writable: list[str] = msgspec.field(default_factory=lambda: ["/"])  # may change; /: all
    share: Literal["auto", "task", "half", "whole"] = "auto"  # of a node, where one class fills it at once
    os: dict[str, str] = msgspec.field(default_factory=dict)  # systems that tasks may need: images
    binds: list[str] = msgspec.field(default_factory=list)  # paths that containers of tasks see
    lease_minutes: float = 5.0  # a worker that HTCondor lost may come back so long
    preemptible: bool = False  # whether slots may be taken back at any time
    preemptible_hours: float = 1.0  # so long may a task be there that is not restartable
    task_classads: list[str] = msgspec.field(default_factory=lambda: ["*"])  # that tasks may set


class Size(Part, frozen=True):
    """Bounds of what one pilot may ask of the pool."""

    cores: int = 1
    memory: float = 2.0
    disk: float = 2.0
    gpus: int = 0
    hours: float = 2.0


class Gpu(Part, frozen=True):
    """A kind of GPU that the site has."""

    name: str
    memory: float
    capability: float


class Limits(Part, frozen=True):
    """How many pilots there may be."""

    pilots: int = 100  # in whatever state
    queued: int = 20  # of them not running yet
    warm: int = 0  # kept even when there is no work


class Pace(Part, frozen=True):
    """How fast their number changes."""

    look_seconds: float = 3.0  # one round
    query_seconds: float = 30.0  # compare with HTCondor's queue, whatever the event log says
    step: int = 10  # pilots on their way, queued or starting; more when they start well
    largest_step: int = 200
    surplus_seconds: float = 30.0  # a queued pilot that nobody needs is removed after so long
    backoff_seconds: float = 20.0  # pause after pilots failed; doubles each time
    longest_backoff_seconds: float = 1800.0
    short_life_seconds: float = 60.0  # a pilot that fails sooner is a fault of the site
    starve_seconds: float = 15.0  # a pilot that is queued so long finds no slot: others may be in its way
    turn_hours: float = 1.0  # so long a pilot may stay when its place is the only one for another class


class Site(Part, frozen=True):
    """One site."""

    site: str  # the name that tasks and people know it by
    server: str  # address of the REST server
    token_file: str = ""  # our own token, of the role system
    pilot_token_file: str = ""  # the pilots' token; empty: we ask the server for short-lived ones
    mode: Literal["pilots", "direct"] = "pilots"  # direct: one job for each task
    state: str = ""  # directory of logs and other files; empty: below the installation's data directory
    keep_logs_hours: float = 48.0  # of pilots that died
    condor: Condor = Condor()
    pilot: Pilot = Pilot()
    smallest: Size = Size()
    largest: Size = Size(cores=8, memory=32.0, disk=100.0, hours=48.0)
    limits: Limits = Limits()
    pace: Pace = Pace()
    gpus: list[Gpu] = msgspec.field(default_factory=list)  # empty: as the pool says, if it can be asked


def load_site(path: str | Path) -> Site:
    """The site that a file describes. Raises SettingsError, which names the setting."""
    site = read_part(path, Site)
    for trouble in _troubles(site):
        raise SettingsError(f"{path}: {trouble}")
    return msgspec.structs.replace(site, server=site.server.rstrip("/"))


def is_site_file(path: Path) -> bool:
    """Whether a file describes a site, and not settings: whether it names one. Raises SettingsError."""
    return "site" in read_document(path)


def _troubles(site: Site) -> Iterator[str]:
    if not _SITE.fullmatch(site.site):
        yield f"site: {site.site!r} is not a name (letters, digits, dots, dashes; at most 64)"
    if not site.server.startswith(("http://", "https://")):
        yield f"server: {site.server!r} is not an address such as https://iceprod.example.org"
    yield from _size_troubles(site)
    yield from _pilot_troubles(site.pilot)
    for name, least in (("pilots", 0), ("queued", 1), ("warm", 0)):
        if getattr(site.limits, name) < least:
            yield f"limits: {name} must be at least {least}"
    if site.mode == "direct" and site.limits.warm:
        yield "limits: warm must be 0 with mode: direct, where no job waits for work"
    if site.limits.warm > site.limits.pilots:
        yield f"limits: warm ({site.limits.warm}) is more than pilots ({site.limits.pilots})"
    for name in ("look_seconds", "query_seconds", "step", "largest_step", "backoff_seconds"):
        if getattr(site.pace, name) <= 0:
            yield f"pace: {name} must be more than 0"


def _size_troubles(site: Site) -> Iterator[str]:
    if site.smallest.gpus:
        yield "smallest: gpus must be 0, for a pilot with a GPU takes no other work"
    for name in Size.__struct_fields__:
        low, high = getattr(site.smallest, name), getattr(site.largest, name)
        if low < 0 or (low == 0 and name != "gpus"):
            yield f"smallest: {name} must be more than 0"
        if low > high:
            yield f"smallest: {name} ({low:g}) is more than the largest ({high:g})"


def _pilot_troubles(pilot: Pilot) -> Iterator[str]:
    if pilot.python and not pilot.python.startswith("/"):
        yield f"pilot: python must be an absolute path, not {pilot.python!r}"
    if pilot.cache_directory and not pilot.cache_directory.startswith("/"):
        yield f"pilot: cache_directory must be an absolute path, not {pilot.cache_directory!r}"
    if pilot.cache_gb < 0:
        yield f"pilot: cache_gb must be at least 0, not {pilot.cache_gb:g}"
    if pilot.preemptible_hours <= 0:
        yield f"pilot: preemptible_hours must be more than 0, not {pilot.preemptible_hours:g}"
    for scheme, command in pilot.transfers.items():
        if not ("{source}" in command and "{target}" in command):
            yield f"pilot: transfers: the command for {scheme} needs {{source}} and {{target}}"
    for name in pilot.classads:
        if not _ATTRIBUTE.fullmatch(name) or name.lower().startswith("iceprod"):
            yield f"pilot: classads: {name!r} cannot be set"
    for name in pilot.submit:
        if name.lower().lstrip("+").startswith(_RESERVED):
            yield f"pilot: submit: {name!r} is set by us"
    for name, value in pilot.environment.items():
        if not _ATTRIBUTE.fullmatch(name) or "\n" in value:
            yield f"pilot: environment: {name!r} is not a variable that can be set"
