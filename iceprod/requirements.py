"""Requirements of tasks, offers of pilots, the classes that requirements are binned into, and growth.

Units: memory (of GPUs, too) and disk GB, time hours, cpu and gpu whole numbers. Tasks whose requirements
round up to the same bins share a *class*; the class serves matching alone, the user's own numbers stay on the
task.

Beside how much a task needs, it may say of which kind: `gpus_minimum_capability`, `gpus_minimum_memory` and
`gpus_device_name` (a part of the name) of its GPUs, `restartable` when it may be stopped and begun again, and
`classads`, the attributes that its job in HTCondor shall have. Who does not offer these does not have them.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from enum import Enum
from functools import lru_cache
from typing import Any, TypeGuard

from config.settings import Failures
from iceprod.batch.classads import ClassAdError, check_classads

__all__ = ["DEFAULTS", "GPU_KINDS", "PREEMPTIBLE", "Fit", "RequirementError", "bin_up", "check", "class_fit",
           "class_key", "fits", "grow", "parse_class"]

Requirements = Mapping[str, Any]

DEFAULTS: dict[str, float] = {"cpu": 1, "gpu": 0, "memory": 2.0, "disk": 10.0, "time": 8.0}
"""What a task without a value is taken to need, when pilots are sized for it."""

WHOLE = ("cpu", "gpu")
NUMBERS = ("cpu", "gpu", "memory", "disk", "time")
GPU_KINDS = ("gpus_minimum_capability", "gpus_minimum_memory", "gpus_device_name")
"""Which GPUs will do, in the words of HTCondor."""
PREEMPTIBLE = "preemptible"
"""Offered where tasks may be stopped at any time: the hours that one may take which is not restartable."""

_ONLY_OFFERED = frozenset((*GPU_KINDS, "classads"))
_MOST_GPU_MEMORY = 1024.0  # GB; who writes more means MB, as HTCondor's own command does
_DEVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._()/+-]{0,63}")

_LADDERS: dict[str, tuple[tuple[float, float], ...]] = {  # (up to this value, in steps of that)
    "cpu": ((math.inf, 1),),
    "gpu": ((math.inf, 1),),
    "memory": ((5, 0.5), (20, 1), (100, 4), (math.inf, 20)),
    "disk": ((20, 1), (100, 5), (1000, 50), (math.inf, 500)),
    "time": ((1, 10), (6, 15), (24, 60), (math.inf, 240)),  # steps of minutes
}
_STEPS_PER_UNIT = {"time": 60}


class RequirementError(ValueError):
    """A requirement has a wrong type or value; the text names it."""


class Fit(Enum):
    """Whether the tasks of a class fit an offer."""

    NONE = 0
    SOME = 1  # the offer lies inside the class's bin: each task must be looked at
    ALL = 2


def check(requirements: Requirements) -> None:
    """Raise RequirementError unless every known requirement has the type that it needs."""
    for name, value in requirements.items():
        if value is None:
            continue
        if name in NUMBERS:
            _check_number(name, value)
        elif name == "os":
            if not isinstance(value, str) and not _is_strings(value):
                raise RequirementError("Bad type for os, should be list")
        elif name == "site" and not isinstance(value, str):
            raise RequirementError("Bad type for site, should be str")
        elif name in GPU_KINDS:
            _check_gpu_kind(name, value)
        elif name == "restartable" and not isinstance(value, bool):
            raise RequirementError("Bad type for restartable, should be bool")
        elif name == "classads":
            _check_classads(value)


def _check_gpu_kind(name: str, value: object) -> None:
    if name == "gpus_device_name":
        if not isinstance(value, str) or not (value == "" or _DEVICE.fullmatch(value)):
            raise RequirementError(f"Bad value for {name}, should be a part of its name, such as A100")
        return
    _check_number(name, value)
    if name == "gpus_minimum_memory" and _is_number(value) and value > _MOST_GPU_MEMORY:
        raise RequirementError(f"Bad value for {name}, should be in GB as all memory here, not in MB")


def _check_classads(value: object) -> None:
    try:
        check_classads(value)
    except ClassAdError as error:
        raise RequirementError(f"Bad value for classads, {error}") from None


def _check_number(name: str, value: object) -> None:
    kinds = (int,) if name in WHOLE else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        raise RequirementError(f"Bad type for {name}, should be {'int' if name in WHOLE else 'float'}")
    if not 0 <= value < 1e9:
        raise RequirementError(f"Bad value for {name}, should be between 0 and 1e9")


def _is_strings(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


# -- classes


def _step(name: str, value: float) -> float:
    return next(step for limit, step in _LADDERS[name] if value <= limit)


def _edge(name: str, number: int, step: float) -> float:
    return number * step / _STEPS_PER_UNIT.get(name, 1)


def bin_up(name: str, value: float) -> float:
    """The upper edge of the bin that `value` of the resource `name` lies in: never less than the value."""
    if name not in _LADDERS:
        return value
    step = _step(name, value)
    number = math.ceil(value * _STEPS_PER_UNIT.get(name, 1) / step)
    if _edge(name, number, step) < value:  # by the rounding of the division
        number += 1
    elif number > 0 and _edge(name, number - 1, step) >= value:
        number -= 1
    return number if name in WHOLE else _edge(name, number, step)


def _lower_edge(name: str, edge: float) -> float:
    """The lower edge of the bin with the upper edge `edge`; values of the bin are greater."""
    step = _step(name, edge)
    return _edge(name, round(edge * _STEPS_PER_UNIT.get(name, 1) / step) - 1, step)


def class_key(requirements: Requirements) -> str:
    """The name of the class of tasks that `requirements` belong to: their bins as canonical JSON."""
    bins: dict[str, Any] = {}
    for name, value in requirements.items():
        if value is None or value == "" or value == []:
            continue
        if (name == "gpu" or name in GPU_KINDS) and value == 0:
            continue
        if value is False or value == {}:
            continue
        bins[name] = _bin(name, value)
    return json.dumps(bins, sort_keys=True, separators=(",", ":"))


def _bin(name: str, value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return bin_up(name, value)
    if name == "os":
        return sorted({value} if isinstance(value, str) else {str(item) for item in value})
    return value


@lru_cache(maxsize=4096)
def parse_class(key: str) -> dict[str, Any]:
    """The bins that a class's name stands for. Do not change the result: it is shared."""
    return json.loads(key)


def class_fit(key: str, offer: Requirements) -> Fit:
    """Whether all, some or none of the tasks of the class `key` fit `offer`."""
    bins = parse_class(key)
    if _lacks(bins, offer):
        return Fit.NONE
    result = Fit.ALL
    for name, offered in _for_task(bins, offer).items():
        if offered is None:
            continue
        wanted = bins.get(name)
        if _matches(name, wanted, offered):
            continue
        if not _is_number(wanted) or not _is_number(offered) or name not in _LADDERS:
            return Fit.NONE
        if name == "gpu" or not _lower_edge(name, wanted) < offered:
            return Fit.NONE
        result = Fit.SOME
    return result


# -- one task


def fits(requirements: Requirements, offer: Requirements) -> bool:
    """Whether a task fits: of each thing offered, it needs nothing, no more, or just that.

    An offered GPU is for tasks that need one, so it takes no other work.
    """
    return not _lacks(requirements, offer) and all(
        offered is None or _matches(name, requirements.get(name), offered)
        for name, offered in _for_task(requirements, offer).items())


def _lacks(wanted: Requirements, offer: Requirements) -> bool:
    """Whether something is wanted that only who offers it has, or endless time where all may be stopped."""
    if not _ONLY_OFFERED.isdisjoint(wanted) and any(
            wanted.get(name) and not offer.get(name) for name in _ONLY_OFFERED):
        return True
    most = offer.get(PREEMPTIBLE)
    return (_is_number(most) and most < DEFAULTS["time"] and wanted.get("time") is None
            and not wanted.get("restartable"))


def _for_task(wanted: Requirements, offer: Requirements) -> Requirements:
    """An offer as it is for one task: shorter for one that must not be stopped, where that may happen."""
    most = offer.get(PREEMPTIBLE)
    if not _is_number(most) or wanted.get("restartable"):
        return offer
    offered = offer.get("time")
    return {**offer, "time": min(most, offered) if _is_number(offered) else most}


def _matches(name: str, wanted: Any, offered: Any) -> bool:
    if name == "classads":
        return (wanted or {}) == offered
    if name == "gpus_device_name" and isinstance(wanted, str) and isinstance(offered, str):
        return wanted.lower() in offered.lower()
    if name == "gpu" and _is_number(offered) and offered > 0:
        return _is_number(wanted) and 1 <= wanted <= offered
    if wanted is None or wanted == "" or wanted == []:
        return True
    if _is_number(wanted) and _is_number(offered):
        return wanted <= offered
    if name == "os":
        return bool(_names(wanted) & _names(offered))
    return wanted == offered


def _names(value: Any) -> set[str]:
    return {value} if isinstance(value, str) else {str(item) for item in value}


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


# -- growth


def grow(requirements: Requirements, used: Mapping[str, Any], limits: Failures) -> dict[str, Any]:
    """Requirements after an attempt that used `used`: never lower, and capped by `limits`.

    Memory, disk and time become 1.5 times what was used (settings: growth) and are left alone when less
    than 0.5 was used; cpu grows by one when the task used at least a tenth more than it asked for. GPUs
    never grow.
    """
    grown = dict(requirements)
    caps = {"memory": limits.max_memory_gb, "disk": limits.max_disk_gb, "time": limits.max_time_hours}
    for name, cap in caps.items():
        amount = used.get(name)
        if _is_number(amount) and amount >= 0.5:
            _raise(grown, name, min(_like(grown.get(name), amount * limits.growth), cap))
    cpu, wanted = used.get("cpu"), grown.get("cpu") or DEFAULTS["cpu"]
    if _is_number(cpu) and 1.1 < cpu <= 20 and cpu >= 1.1 * wanted:
        grown["cpu"] = int(wanted) + 1
    return grown


def _like(old: Any, new: float) -> float:
    """`new` as a whole number when the old value was one, rounded up."""
    return math.ceil(round(new, 6)) if isinstance(old, int) else round(new, 6)


def _raise(requirements: dict[str, Any], name: str, value: float) -> None:
    old = requirements.get(name)
    if not _is_number(old) or value > old:
        requirements[name] = value
