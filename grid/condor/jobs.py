"""The pilot as an HTCondor job: its submit description, and what its ClassAd tells us later.

Every job has the attributes

    IceProdSite, IceProdServer   whose it is: how a grid that starts again finds its pilots
    IceProdBatch                 one submit: how a submit whose answer got lost is recognised
    IceProdCores … IceProdHours  what the pilot offers
    IceProdTraits                of which kind its GPUs are, and the ClassAds that its tasks asked for
    IceProdAvoided               machines where pilots fail

and nothing secret: the token travels as a file, which HTCondor reads when the job starts, so that a pilot
that was queued for days gets a fresh one.
"""

from __future__ import annotations

import base64
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from grid.base import PLAIN, PilotClass, Traits
from grid.condor.schedd import Ad
from grid.condor.site import Site

__all__ = ["AVOIDED", "SHAPE", "TRAITS", "Files", "batch_constraint", "constraint", "description", "shape_of"]

SHAPE = ("IceProdCores", "IceProdMemory", "IceProdDisk", "IceProdGpus", "IceProdHours")
TRAITS = "IceProdTraits"
_OVERTIME = 3600  # seconds after a pilot's lifetime until HTCondor stops it
_FORGOTTEN = 7 * 86400  # seconds that a job of ours stays queued or held when nobody looks after it
_SHORT_LEASE = 1.0  # minutes
_MOUNTED = "/cvmfs/"
_DIRECT_IDLE = 15.0  # seconds that a job for one task looks for it
AVOIDED = "IceProdAvoided"
"""Machines that a job may not start on; it may be changed while it is queued."""
_ELSEWHERE = (f"!stringListIMember(TARGET.Machine, MY.{AVOIDED}) && "
              f'!stringListIMember(regexps("^[^@]*@(.*)$", TARGET.Name, "\\1"), MY.{AVOIDED})')
_RUNS_ONCE = "(NumJobStarts =?= undefined || NumJobStarts == 0)"


@dataclass(frozen=True)
class Files:
    """Where the site's files are, and what its queue is called."""

    program: Path
    token: Path
    log: Path  # HTCondor's events
    output: Path  # directory of what pilots print
    queue_host: str = ""
    queue_version: str = ""
    is_spooled: bool = False  # they travel to the schedd and back


def constraint(site: Site) -> str:
    """All pilots of this site and server."""
    return f"IceProdSite == {_quoted(site.site)} && IceProdServer == {_quoted(site.server)}"


def batch_constraint(batch: str) -> str:
    """The pilots of one submit."""
    return f"IceProdBatch == {_quoted(batch)}"


def description(site: Site, shape: PilotClass, batch: str, grid_id: str, files: Files,
                rank: int = 0, avoids: str = "") -> dict[str, str]:
    """The submit description of pilots of one shape."""
    name = "$(ClusterId).$(ProcId)"
    described = {
        **_program(site, files, [*_arguments(site, shape, grid_id, files, name), f"--batch={batch}"]),
        "environment": _joined({"PATH": site.pilot.path, **site.pilot.environment}),
        "should_transfer_files": "YES", "when_to_transfer_output": "ON_EXIT", "transfer_output_files": '""',
        "output": str(files.output / f"{name}.out"), "error": str(files.output / f"{name}.err"),
        "stream_error": "false" if files.is_spooled else "true", "log": str(files.log),
        "notification": "never", "priority": str(rank),
        "request_cpus": str(shape.cores),
        "request_memory": str(math.ceil((shape.memory_gb + site.pilot.extra_memory) * 1e9 / 2**20)),
        "request_disk": str(math.ceil((shape.disk_gb + site.pilot.cache_gb) * 1e9 / 2**10)),
        "allowed_execute_duration": str(int(shape.lifetime_hours * 3600) + _OVERTIME),
        "job_lease_duration": str(int(_lease_minutes(site) * 60)),
        "requirements": _requirements(site, shape.traits),
        "periodic_remove": f"(JobStatus == 1 && NumJobStarts > 0) || ((JobStatus == 1 || JobStatus == 5) && "
                           f"time() - EnteredCurrentStatus > {_FORGOTTEN})",
        **_marks(site, shape, batch), f"My.{AVOIDED}": _quoted(avoids),
    }
    if shape.gpus:
        described |= _gpus(shape)
    if site.pilot.image:
        described |= _container(site.pilot.image)
    if site.condor.accounting_group:
        described["accounting_group"] = site.condor.accounting_group
    if files.is_spooled:
        del described["log"]  # it would lie at the schedd
    more = {f"My.{key}": _quoted(value) for key, value in site.pilot.classads.items()}
    return {**described, **_of_tasks(shape.traits), **more, **site.pilot.submit}


def _lease_minutes(site: Site) -> float:
    """A slot that may be taken back is not waited for."""
    return min(site.pilot.lease_minutes, _SHORT_LEASE) if site.pilot.preemptible else site.pilot.lease_minutes


def _requirements(site: Site, traits: Traits) -> str:
    """Which machines will do: our own rules, the site's, and those of the tasks that the pilot is for."""
    wanted = dict(traits.classads).get("requirements")
    parts = [_RUNS_ONCE, _ELSEWHERE, f"({site.pilot.requirements or 'true'})"]
    return " && ".join([*parts, f"({wanted})"] if wanted else parts)


def _of_tasks(traits: Traits) -> dict[str, str]:
    """What tasks set for their job; the site's own attributes come before these."""
    return {"rank" if name == "rank" else f"My.{name[1:]}": text
            for name, text in traits.classads if name != "requirements"}


def _gpus(shape: PilotClass) -> dict[str, str]:
    """How many GPUs, and which will do."""
    traits = shape.traits
    described = {"request_gpus": str(shape.gpus)}
    if traits.capability:
        described["gpus_minimum_capability"] = f"{traits.capability:g}"
    if traits.gpu_memory:
        described["gpus_minimum_memory"] = str(math.ceil(traits.gpu_memory * 1e9 / 2**20))
    if traits.gpu_name:
        described["require_gpus"] = f'regexp("{_pattern(traits.gpu_name)}", DeviceName, "i")'
    return described


def _pattern(name: str) -> str:
    """A regular expression without backslashes, which submit descriptions read in ways of their own."""
    return re.sub(r"[^A-Za-z0-9 _/-]", ".", name)


def _container(image: str) -> dict[str, str]:
    """The job in a container; an image that every worker mounts is not sent along."""
    described = {"universe": "container", "container_image": image}
    if image.startswith(_MOUNTED):
        described["transfer_container"] = "false"
    return described


def shape_of(ad: Ad, site: str) -> PilotClass:
    """What the pilot of a job offers."""
    cores, memory, disk, gpus, hours = (ad.get(name, 0) for name in SHAPE)
    return PilotClass(int(cores), float(memory), float(disk), int(gpus), float(hours), site,
                      _traits(str(ad.get(TRAITS) or "")))


def _traits(text: str) -> Traits:
    """Traits as `_marks` wrote them."""
    try:
        return msgspec.json.decode(base64.b64decode(text), type=Traits) if text else PLAIN
    except (ValueError, msgspec.MsgspecError):
        return PLAIN


def _program(site: Site, files: Files, arguments: list[str]) -> dict[str, str]:
    if not site.pilot.python:
        return {"executable": str(files.program), "arguments": _arguments_line(arguments),
                "transfer_input_files": str(files.token)}
    return {"executable": site.pilot.python, "transfer_executable": "false",
            "arguments": _arguments_line([files.program.name, *arguments]),
            "transfer_input_files": f"{files.program},{files.token}"}


def _arguments(site: Site, shape: PilotClass, grid_id: str, files: Files, name: str) -> list[str]:
    given = {
        "server": site.server, "token-file": files.token.name, "site": site.site, "grid-id": grid_id,
        "queue-id": name, "cores": shape.cores, "memory": f"{shape.memory_gb:g}",
        "slot-memory": f"{shape.memory_gb + site.pilot.extra_memory:g}",
        "disk": f"{shape.disk_gb:g}", "lifetime": f"{shape.lifetime_hours:g}",
        "idle": f"{_DIRECT_IDLE if site.mode == 'direct' else 2 * site.pilot.idle_minutes * 60:g}",
        "queue-host": files.queue_host, "queue-version": files.queue_version,
        "heartbeat": f"{site.pilot.heartbeat_seconds:g}"}
    words = [f"--{key}={value}" for key, value in given.items()]
    if site.mode == "direct":
        words.append("--tasks=1")
    words.append(f"--isolation={site.pilot.isolation}")
    words.append(f"--cache={site.pilot.cache_gb:g}")
    if site.pilot.cache_directory:
        words.append(f"--cache-directory={site.pilot.cache_directory}")
    words += [f"--transfer={scheme}={command}" for scheme, command in site.pilot.transfers.items()]
    words += [f"--visible={path}" for path in site.pilot.visible]
    words += [f"--writable={path}" for path in site.pilot.writable]
    words += [f"--os={name}={image}" if image else f"--os={name}" for name, image in site.pilot.os.items()]
    words += [f"--bind={path}" for path in site.pilot.binds]
    if shape.traits.classads:
        words.append(f"--classads={json.dumps(dict(shape.traits.classads))}")
    if site.pilot.preemptible:
        words.append(f"--preemptible={site.pilot.preemptible_hours:g}")
    if not shape.gpus:
        words.append("--gpus=")  # HTCondor puts a name of no GPU into CUDA_VISIBLE_DEVICES
    if not site.pilot.pixels:
        words.append("--no-pixels")
    return words


def _marks(site: Site, shape: PilotClass, batch: str) -> dict[str, str]:
    offered = (shape.cores, shape.memory_gb, shape.disk_gb, shape.gpus, shape.lifetime_hours)
    ours: dict[str, str | float] = {
        "IceProdSite": site.site, "IceProdServer": site.server, "IceProdBatch": batch,
        **dict(zip(SHAPE, offered, strict=True))}
    if shape.traits != PLAIN:
        ours[TRAITS] = base64.b64encode(msgspec.json.encode(shape.traits)).decode()  # has no quotes
    return {f"My.{name}": _quoted(value) for name, value in ours.items()}


def _quoted(value: str | int | float | bool) -> str:
    """A value as a ClassAd literal."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _arguments_line(words: list[str]) -> str:
    return '"' + " ".join(map(_word, words)) + '"'


def _joined(variables: dict[str, str]) -> str:
    return '"' + " ".join(f"{name}={_word(value)}" for name, value in variables.items()) + '"'


def _word(text: str) -> str:
    """A word in HTCondor's new syntax: quotes are doubled, and single ones hold blanks together."""
    text = text.replace('"', '""')
    return "'" + text.replace("'", "''") + "'" if any(c in text for c in " \t'") or not text else text
