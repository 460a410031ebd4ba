"""Everything that can be said of a configuration before it is submitted.

An *error* can never run. A *doubt* most likely does not do what was meant: it is refused, unless its
submitter asks to be lenient. A *warning* is only said.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import islice
from typing import Any

from iceprod.addresses import DIGITS, parse_checksum, scheme_of
from iceprod.batch.classads import not_let
from iceprod.config_keys import nearest, unknown_keys
from iceprod.dataset_config import (
    is_strict,
    is_versioned,
    place_of,
    problems,
    schema_of,
    task_names,
    with_defaults,
)
from iceprod.evaluation import payload, requirements_of, transfer_of
from iceprod.expressions import FUNCTIONS, MAX_SIZE, MAX_STEPS, SPACES, Budget, TooCostly
from iceprod.requirements import GPU_KINDS, RequirementError, fits

__all__ = ["Finding", "Kind", "Offers", "check_config", "refused", "whole_budget"]

MOST = 100
MOST_FOUND = 1000  # among which the worst are told
MOST_CALLS = 1000  # of what was left unevaluated in one text, that are looked at
MOST_NAMES = 2000  # among which the one that was meant is looked for
EXTRAORDINARY = {"cpu": 512, "gpu": 64, "memory": 8192.0, "disk": 100_000.0, "time": 24 * 90.0}
"""More than this no site that we know of offers to one task: GB, hours."""
_UNITS = {"memory": " GB", "disk": " GB", "time": " h"}
_CALL = re.compile(r"\$(\w*)\(")
_NAME = re.compile(r"[\w:.\-]+")

Document = dict[str, Any]


class Kind(Enum):
    """How bad a finding is."""

    ERROR = "error"
    DOUBT = "doubt"
    WARNING = "warning"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a configuration, or may be."""

    path: str
    problem: str
    kind: Kind = Kind.ERROR
    nearest: str = ""  # the known name that was meant, maybe

    @property
    def text(self) -> str:
        """The finding in one line, as IceProd words it."""
        return f"Validation error in {place_of(self.path)}: {self.problem}" + (
            f" (at {self.path})" if self.path else "")


@dataclass(frozen=True)
class Offers:
    """The most that one task can have, by requirement."""

    sites: Mapping[str, float] = field(default_factory=dict)  # by what sites say of themselves
    pilots: Mapping[str, float] = field(default_factory=dict)  # of the pilots that are here
    schemes: frozenset[str] = frozenset()  # of addresses, that some site can move; empty: nobody said
    classads: Mapping[str, list[str]] | None = None  # those that sites let tasks set; None: nobody was asked
    gpus: tuple[Mapping[str, Any], ...] = ()  # the kinds that sites say they have; empty: some did not say


def refused(findings: list[Finding], *, lenient: bool = False) -> list[Finding]:
    """Those for which a configuration is not taken."""
    return [one for one in findings if one.kind is Kind.ERROR or (one.kind is Kind.DOUBT and not lenient)]


def check_config(config: Any, jobs: int = 1, dataset: Mapping[str, Any] | None = None,
                 offers: Offers | None = None) -> list[Finding]:
    """What is wrong with a configuration of `jobs` jobs, errors first; its first and last job are evaluated.

    One without a version is taken as old clients send it: only what could never run is said.
    """
    found = [Finding(error.path, error.problem, nearest=error.nearest) for error in problems(config)]
    if not isinstance(config, Mapping) or not is_versioned(config):
        return found
    known = {one.path for one in found}
    keys = unknown_keys(config, schema_of(config), old=not is_strict(config))
    found += [Finding(key.path, key.problem, Kind.DOUBT, key.nearest) for key in keys
              if key.path not in known]
    if not any(one.kind is Kind.ERROR for one in found):
        filled = with_defaults(config)
        evaluated = _evaluated(filled, jobs, dataset or {}, offers or Offers())
        found += [*islice(_programs(filled), MOST_FOUND), *islice(evaluated, MOST_FOUND)]
    unique = {(one.path, one.problem): one for one in found}
    return sorted(unique.values(), key=lambda one: [*Kind].index(one.kind))[:MOST]


def whole_budget() -> Budget:
    """What the expressions of one job may take, in all its tasks: some seconds."""
    return Budget(4 * MAX_STEPS, 4 * MAX_SIZE)


def _too_much(needs: Mapping[str, Any], path: str, offers: Offers) -> Iterator[Finding]:
    """What of a task's requirements nobody has. Pilots come and go: they only tell what is absurd."""
    for name, limit in EXTRAORDINARY.items():
        value, unit = needs.get(name), _UNITS.get(name, "")
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        most = offers.sites.get(name, offers.pilots.get(name))
        where = f"{path}.requirements.{name}"
        if most is not None and value > most and (name in offers.sites or value > limit):
            yield Finding(where, f"no site offers {value:g}{unit}; the largest offer is {most:g}{unit}",
                          Kind.DOUBT)
        elif value > limit:
            yield Finding(where, f"{value:g}{unit} is more than any site is known to offer", Kind.WARNING)


def _of_no_site(needs: Mapping[str, Any], path: str, offers: Offers) -> Iterator[Finding]:
    """ClassAds that no site lets tasks set, and GPUs that none has."""
    given = needs.get("classads") or {}
    if given and offers.classads is not None:
        refused = {site: not_let(given, patterns) for site, patterns in offers.classads.items()}
        if not any(not names for names in refused.values()):
            said = "; ".join(f"{site} refuses {', '.join(names)}" for site, names in sorted(refused.items()))
            said = said or "none submits to HTCondor"
            yield Finding(f"{path}.batchsys.condor",
                          f"no site here lets tasks set these ClassAds for their job: {said}", Kind.DOUBT)
    wanted = {name: needs[name] for name in GPU_KINDS if needs.get(name)}
    if wanted and offers.gpus and not any(fits(wanted, gpu) for gpu in offers.gpus):
        known = ", ".join(sorted({f"{gpu['gpus_device_name']} ({gpu['gpus_minimum_capability']:g}, "
                                  f"{gpu['gpus_minimum_memory']:g} GB)" for gpu in offers.gpus})[:10])
        yield Finding(f"{path}.requirements.{next(iter(wanted))}",
                      f"no site has such GPUs; they have {known}", Kind.DOUBT)


# -- modules


def _programs(config: Document) -> Iterator[Finding]:
    """Modules without a program, and files that cannot be moved."""
    yield from _other_systems(config.get("steering", {}), "steering")
    for index, task in enumerate(config["tasks"] if isinstance(config.get("tasks"), list) else []):
        yield from _other_systems(task, f"tasks[{index}]")
        for path, part in _levels(task, f"tasks[{index}]"):
            if ".modules[" in path and not part.get("src") and not part.get("running_class"):
                yield Finding(path, "neither src nor running_class says what to run")
            for number, item in enumerate(part.get("data") or []):
                transfer = transfer_of(item.get("transfer", True))
                if isinstance(transfer, str) and transfer != "maybe" and "$" not in transfer:
                    yield Finding(f"{path}.data[{number}].transfer",
                                  f"{transfer!r} is none of true, false, maybe, exists")
            for number, item in enumerate(part.get("classes") or []):
                if item.get("libs") or item.get("env_vars"):
                    yield Finding(f"{path}.classes[{number}]", "classes with libs or env_vars are not "
                                  "supported; name an env_shell instead")


def _other_systems(part: Document, path: str) -> Iterator[Finding]:
    """Attributes for batch systems that we submit to none of."""
    for name in part.get("batchsys") or {}:
        if name != "condor":
            yield Finding(f"{path}.batchsys.{name}", "jobs are submitted to HTCondor alone (condor)",
                          Kind.DOUBT)


def _levels(task: Document, path: str) -> Iterator[tuple[str, Document]]:
    yield path, task
    for number, tray in enumerate(task.get("trays") or []):
        yield f"{path}.trays[{number}]", tray
        for count, module in enumerate(tray.get("modules") or []):
            yield f"{path}.trays[{number}].modules[{count}]", module


# -- evaluating


def _evaluated(config: Document, jobs: int, dataset: Mapping[str, Any],
               offers: Offers) -> Iterator[Finding]:
    """What is wrong with the first and the last job."""
    names = task_names(config)
    about = {"dataset": 0, "dataset_id": "0" * 32, "jobs_submitted": jobs,
             "tasks_submitted": jobs * len(names), "debug": False, **dataset}
    for job in sorted({0, max(jobs, 1) - 1}):
        budget = whole_budget()
        for index, name in enumerate(names):
            task = {"task_index": index, "job_index": job, "name": name, "task_id": "0" * 32,
                    "job_id": "0" * 32}
            yield from _of_requirements(config, about, job, index, offers)
            try:
                made = payload(about, config, task, budget=budget)
            except TooCostly as error:
                yield Finding(f"tasks[{index}]", f"{error}, in job {job}")
                return
            yield from _of_task(made["task"], f"tasks[{index}]", config)
            yield from _of_files(made["steering"]["data"], "steering", offers)
            for path, part in _levels(made["task"], f"tasks[{index}]"):
                yield from _of_files(part.get("data") or [], path, offers)


def _of_requirements(config: Document, about: Mapping[str, Any], job: int, index: int,
                     offers: Offers) -> Iterator[Finding]:
    path = f"tasks[{index}]"
    try:
        needs = requirements_of(config, about, job, index)
    except RequirementError as error:
        found = re.search(r" for (\w+),", str(error))
        where = "batchsys.condor" if "ClassAds" in str(error) else "requirements"
        yield Finding(f"{path}.{where}" + (f".{found[1]}" if found else ""), f"{error}, in job {job}")
    else:
        yield from _too_much(needs, path, offers)
        yield from _of_no_site(needs, path, offers)


def _of_task(task: Document, path: str, config: Document) -> Iterator[Finding]:
    """Expressions that are left in a task that was evaluated."""
    rest = {name: value for name, value in task.items() if name not in ("trays", "requirements")}
    yield from _left(rest, path, config)
    for tray in task["trays"]:
        where = f"{path}.trays[{tray['tray']}]"
        yield from _left({name: value for name, value in tray.items() if name != "modules"}, where, config)
        times = tray["iterations"]
        if isinstance(times, bool) or not isinstance(times, int) or times < 1:
            yield Finding(f"{where}.iterations", f"it must be a number of at least 1, not {times!r}")
        for number, module in enumerate(tray["modules"]):
            own = {**module, "data": [item for item in module["data"] if not item.get("program")]}
            yield from _left(own, f"{where}.modules[{number}]", config)


def _of_files(items: list[Document], path: str, offers: Offers) -> Iterator[Finding]:
    """Files that nobody can move, and checksums that are none."""
    for number, item in enumerate(items):
        where, remote = f"{path}.data[{number}]", str(item.get("remote") or "")
        if item.get("program") or item["transfer"] is False or "$" in remote:
            continue
        scheme = scheme_of(remote) if "://" in remote else ""
        if scheme and offers.schemes and scheme not in offers.schemes:
            known = ", ".join(sorted(offers.schemes))
            yield Finding(f"{where}.remote", f"no site can move {remote!r}; they know {known}", Kind.DOUBT)
        checksum, size = str(item.get("checksum") or ""), item.get("size")
        if checksum and "$" not in checksum and parse_checksum(checksum) is None:
            yield Finding(f"{where}.checksum", f"{checksum!r} is no checksum; expected kind=digits, of the "
                                               f"kinds {', '.join(DIGITS)}")
        if size not in (None, "") and "$" not in str(size) and not _is_size(size):
            yield Finding(f"{where}.size", f"{size!r} is no number of bytes")


def _is_size(value: Any) -> bool:
    return not isinstance(value, bool) and str(value).isdecimal()


def _left(value: Any, path: str, config: Document) -> Iterator[Finding]:
    if isinstance(value, str):
        for found in islice(_CALL.finditer(value), MOST_CALLS):
            if found[1] != "environ" and (problem := _problem(value, found, config)):
                yield Finding(path, *problem)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _left(item, f"{path}[{index}]", config)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _left(item, f"{path}.{name}", config)


def _problem(text: str, found: re.Match[str], config: Document) -> tuple[str, Kind, str] | None:
    """What is wrong with an expression that stays as it is; nothing when it is a shell's own."""
    end = text.find(")", found.end())
    inside, whole = text[found.end():end].strip(), text[found.start():end + 1]
    if not found[1] and not _NAME.fullmatch(inside):
        return None  # $(date +%s)
    if found[1] in FUNCTIONS:
        return f"{whole} cannot be evaluated", Kind.DOUBT, ""
    if found[1] and found[1] not in SPACES:
        near = nearest(found[1], [*FUNCTIONS, *SPACES])
        return f"there is no function {found[1]!r}: {whole}{_meant(near)}", Kind.DOUBT, near
    near = nearest(inside[:200], _names(config, found[1])[:MOST_NAMES])
    # Productions that ran carry such slips: IceProd hands them on as they are.
    kind = Kind.WARNING if near.lower() == inside.lower() else Kind.DOUBT
    return f"nothing is called {inside!r}: {whole}{_meant(near)}", kind, near


def _meant(name: str) -> str:
    return f"; did you mean {name!r}?" if name else ""


def _names(config: Document, space: str) -> list[str]:
    steering, options = config.get("steering") or {}, config.get("options") or {}
    parameters = steering.get("parameters") or {}
    if space == "steering":
        return [*parameters]
    system = ["job", "task", "dataset", "jobs_submitted", "tasks_submitted", "iter", "input", "output",
              "task_id", "job_id", "dataset_id"]
    return [*options, *system] if space in ("args", "options") else [*parameters, *options, *system]
