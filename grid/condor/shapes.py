"""Which pilot a class of tasks needs, or why this site has none for it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from grid.base import PLAIN, PilotClass, Traits
from grid.condor.demand import Work
from grid.condor.site import Gpu, Site, Size
from iceprod.batch.classads import not_let
from iceprod.requirements import DEFAULTS

__all__ = ["Unserved", "enlarged", "fitted", "needs", "offer_of", "shape_for", "tasks_within"]

_UNITS = {"cpu": "cores", "gpu": "GPUs", "memory": "GB of memory", "disk": "GB of disk", "time": "hours"}
_LIVES = 2.0  # a pilot lives so many times as long as its longest task, if it may
_MARGIN_HOURS = 0.1  # from a pilot's start to its first claim
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Unserved:
    """A class that no pilot of the site can take, and why."""

    class_key: str
    text: str  # what its tasks need, for people
    waiting: int
    why: str


def needs(work: Work) -> dict[str, Any]:
    """What one task of a class takes of a pilot; what it does not say takes nothing. And of which traits."""
    bins = work.requirements
    return {"cpu": max(1, _number(bins, "cpu", 1)), "gpu": _number(bins, "gpu", 0),
            "memory": _number(bins, "memory", 0), "disk": _number(bins, "disk", 0),
            "time": _number(bins, "time", 0), "traits": Traits.of(bins)}


def shape_for(work: Work, site: Site) -> PilotClass | Unserved:
    """The pilot to submit for a class: room for one task, or for more when the smallest pilot is larger."""
    why = _refusal(work, site)
    if why:
        return Unserved(work.class_key, work.text, work.all_waiting or work.waiting, why)
    if site.mode == "direct":
        return _shape_of_one(_sizing(work, site), site)
    need, low, high = _sizing(work, site), site.smallest, site.largest
    count = max(1, int(low.cores // need["cpu"])) if not need["gpu"] else 1
    while count > 1 and (count * need["memory"] > high.memory or count * need["disk"] > high.disk):
        count -= 1
    return PilotClass(
        cores=int(max(low.cores, count * need["cpu"])), gpus=int(need["gpu"]), site=site.site,
        traits=need["traits"],
        memory_gb=_round(max(low.memory, count * need["memory"])),
        disk_gb=_round(max(low.disk, count * need["disk"])),
        lifetime_hours=_round(min(high.hours, max(low.hours, _LIVES * need["time"] + _MARGIN_HOURS))))


def enlarged(shape: PilotClass, work: Work, missing: int, site: Site, node: Size) -> PilotClass:
    """A pilot that takes its share of a node, when the class fills its cores now; else the one of its shape.

    Such a pilot gives its parts to whatever comes later, so no shape of pilots keeps slots from others.
    """
    high = site.largest
    cores = min(node.cores, high.cores)
    large = replace(shape, cores=cores, memory_gb=_round(min(node.memory, high.memory)),
                    disk_gb=_round(min(node.disk, high.disk)))
    tasks = tasks_within(needs(work), offer_of(large))
    fills = shape.cores < cores and cores - needs(work)["cpu"] < tasks * needs(work)["cpu"]
    return large if fills and tasks <= missing and not shape.gpus else shape


def offer_of(shape: PilotClass) -> dict[str, Any]:
    """What a fresh pilot of a shape says when it claims."""
    traits = shape.traits
    return {"cpu": shape.cores, "gpu": shape.gpus, "memory": shape.memory_gb, "disk": shape.disk_gb,
            "time": shape.lifetime_hours, "site": shape.site, "traits": traits,
            "gpus_minimum_capability": traits.capability, "gpus_minimum_memory": traits.gpu_memory,
            "gpus_device_name": traits.gpu_name, "classads": dict(traits.classads)}


def tasks_within(need: Mapping[str, Any], room: Mapping[str, Any]) -> int:
    """How many tasks that need so much find place in a room side by side."""
    if (need["gpu"] > 0) != (room["gpu"] > 0) or need["time"] > room["time"] + _ROUNDING:
        return 0
    if not room.get("traits", PLAIN).serves(need.get("traits", PLAIN)):
        return 0
    parts = [name for name in ("cpu", "gpu", "memory", "disk") if need[name] > 0]
    return max(0, min(int(room[name] / need[name] + _ROUNDING) for name in parts))


def _shape_of_one(need: Mapping[str, Any], site: Site) -> PilotClass:
    """A job for one task: what that needs, and no more."""
    hours = min(site.largest.hours, need["time"] + _MARGIN_HOURS)
    return PilotClass(cores=int(need["cpu"]), gpus=int(need["gpu"]), site=site.site,
                      memory_gb=_round(need["memory"]), disk_gb=_round(need["disk"]),
                      lifetime_hours=_round(hours), traits=need["traits"])


def fitted(work: Work, site: Site) -> Work:
    """A class whose bin ends above what a pilot may have, cut to that, if some of its tasks need no more."""
    most = _most(site, work)
    cut = {name: most[name] for name, least in work.least.items()
           if least <= most[name] < _number(work.requirements, name, 0)}
    return msgspec.structs.replace(work, requirements={**work.requirements, **cut}) if cut else work


def _most(site: Site, work: Work) -> dict[str, float]:
    """The most that one task of a class can have at a site."""
    high = site.largest
    hours = high.hours - _MARGIN_HOURS
    if site.pilot.preemptible and not work.requirements.get("restartable"):
        hours = min(hours, site.pilot.preemptible_hours)
    return {"cpu": high.cores, "gpu": high.gpus, "memory": high.memory, "disk": high.disk, "time": hours}


def _refusal(work: Work, site: Site) -> str:
    wanted = work.requirements.get("site")
    if wanted and wanted != site.site:
        return f"it asks for the site {wanted}"
    kind = work.requirements.get("kind")
    if kind == "pixels" and not site.pilot.pixels:
        return "it needs the scanner, which the pilots of this site do not have (pilot: pixels)"
    if (systems := _names(work.requirements.get("os"))) and not systems & site.pilot.os.keys():
        known = ", ".join(site.pilot.os) or "none"
        return f"it needs {' or '.join(sorted(systems))}, of systems this site names: {known} (pilot: os)"
    if why := _refused_kind(work, site) or _refused_time(work, site):
        return why
    need, most = needs(work), _most(site, work)
    lacks = [f"it needs {need[name]:g} {unit}, a pilot of this site has at most {most[name]:g}"
             for name, unit in _UNITS.items() if need[name] > most[name] + _ROUNDING]
    return "; ".join(lacks)


def _refused_kind(work: Work, site: Site) -> str:
    """Which ClassAds of a class the site does not let through, or that it has no such GPUs."""
    traits = Traits.of(work.requirements)
    if names := not_let(dict(traits.classads), site.pilot.task_classads):
        return (f"it sets {', '.join(names)} for its job, which this site lets no task do "
                "(pilot: task_classads)")
    wants_gpus = traits.capability or traits.gpu_memory or traits.gpu_name
    if wants_gpus and site.gpus and not any(_will_do(gpu, traits) for gpu in site.gpus):
        known = ", ".join(f"{gpu.name} ({gpu.capability:g}, {gpu.memory:g} GB)" for gpu in site.gpus[:10])
        return f"it needs GPUs {work.gpu_text}, and this site has {known}"
    return ""


def _will_do(gpu: Gpu, wanted: Traits) -> bool:
    return Traits(gpu.capability, gpu.memory, gpu.name, wanted.classads).serves(wanted)


def _refused_time(work: Work, site: Site) -> str:
    """Why tasks that must not be stopped get no pilot where that may happen at any time."""
    wanted, most = work.requirements.get("time"), site.pilot.preemptible_hours
    if not site.pilot.preemptible or work.requirements.get("restartable"):
        return ""
    if (DEFAULTS["time"] if wanted is None else float(wanted)) <= most + _ROUNDING:
        return ""
    said = "does not say how long it takes" if wanted is None else f"takes up to {float(wanted):g} h"
    return (f"it {said}, and tasks of more than {most:g} h are given to this site, whose slots may be taken "
            "back at any time, only if they say restartable: true in their requirements")


def _sizing(work: Work, site: Site) -> dict[str, Any]:
    """Needs with a guess at what a task does not say, as far as the site has it."""
    most = {"memory": site.largest.memory, "disk": site.largest.disk,
            "time": site.largest.hours / _LIVES}
    guess = {name: min(DEFAULTS[name], limit) for name, limit in most.items()
             if work.requirements.get(name) is None}
    return {**needs(work), **guess}


def _number(bins: Mapping[str, Any], name: str, default: float) -> float:
    value = bins.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


def _names(value: Any) -> set[str]:
    return {value} if isinstance(value, str) else {str(one) for one in value or ()}


def _round(value: float) -> float:
    return math.ceil(value * 1000 - _ROUNDING) / 1000
