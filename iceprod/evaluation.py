"""What one task of a dataset runs: its part of the configuration, with the expressions evaluated for it.

Expressions are evaluated in these places, and nowhere else:

    options                                     once for each task
    steering   parameters, batchsys, data, resources
    task       requirements (when the task is made), parameters, batchsys, container, token_scopes,
               data, resources, classes
    tray       iterations, parameters, data, resources, classes          once for each iteration
    module     src, running_class, args, env_shell, env_clear, configs, parameters, data, resources,
               classes                                                   once for each iteration

Each part sees its own parameters first, then those around it. ``$(input)`` and ``$(output)`` are the local
names of the files that a part moves, its own before those around it. ``$environ(X)`` is left for the pilot,
which knows the environment. The rules are those of IceProd 3 (``core/exe.py``), and of IceProd 2 for what
only version 3.0 has (``resources``, ``classes``, ``transfer: exists``).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from iceprod.batch.classads import ClassAdError, checked_classads
from iceprod.expressions import Budget, Scope, TooCostly, expand
from iceprod.requirements import GPU_KINDS, RequirementError, check

__all__ = ["ADDRESSES", "PLACES", "is_address", "payload", "requirements_of", "scope_of", "transfer_of"]

Document = dict[str, Any]

ADDRESSES = {"data_url": "gsiftp://gridftp.icecube.wisc.edu/",
             "resource_url": "http://prod-exe.icecube.wisc.edu/"}
"""Where relative names of permanent data and of resources lie, unless ``options`` say: IceProd's defaults."""

PLACES = {
    "steering": ("parameters", "batchsys", "data", "resources"),
    "task": ("requirements", "parameters", "batchsys", "container", "token_scopes", "data", "resources",
             "classes"),
    "tray": ("iterations", "parameters", "data", "resources", "classes"),
    "module": ("src", "running_class", "args", "env_shell", "env_clear", "configs", "parameters", "data",
               "resources", "classes"),
}
"""Where expressions are evaluated, by part of the configuration; `options` besides."""

MOST_ITERATIONS = 10_000
REQUIREMENT_STEPS = 10_000  # of the requirements of one task; a thousand jobs are made at once

_FILES = ("data", "resources", "classes")
_INSIDE = {"trays", "modules", *_FILES}
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|file:")
_NO, _YES, _MAYBE = ("n", "no", "not", "f", "false"), ("y", "yes", "t", "true"), ("m", "maybe", "exists")


def scope_of(config: Mapping[str, Any], dataset: Mapping[str, Any], job_index: int, task_index: int,
             about: Mapping[str, Any] | None = None, budget: Budget | None = None) -> Scope:
    """Where the expressions of one task look their names up; `about` are further options of the system.

    `config` has its defaults. ``$(task)`` is the index of the task, unless `about` says otherwise.
    """
    task = config["tasks"][task_index]
    return Scope(
        config=config,
        parameters=_mapping(task.get("parameters")),
        options={"job": job_index, "task": task_index, "dataset": dataset["dataset"],
                 "jobs_submitted": dataset["jobs_submitted"], "tasks_submitted": dataset["tasks_submitted"],
                 "debug": dataset["debug"], **(about or {})},
        seed=f"{dataset['dataset']}/{job_index}/{task_index}",
        budget=budget or Budget(),
    )


def requirements_of(config: Mapping[str, Any], dataset: Mapping[str, Any], job_index: int,
                    task_index: int) -> Document:
    """What a task needs. Raises RequirementError when that makes no sense."""
    written = config["tasks"][task_index].get("requirements") or {}
    budget = Budget(REQUIREMENT_STEPS, 100 * REQUIREMENT_STEPS)
    scope = scope_of(config, dataset, job_index, task_index, budget=budget)
    try:
        values = {name: value for name, value in expand(written, scope).items() if name != "classads"}
        attributes = _attributes(config, scope, task_index)
    except TooCostly as error:
        raise RequirementError(f"its requirements cannot be evaluated: {error}") from None
    if isinstance(values.get("gpu"), list):
        values["gpu"] = len(values["gpu"])
    for name in ("cpu", "gpu"):
        if isinstance(values.get(name), float) and values[name].is_integer():
            values[name] = int(values[name])
    if isinstance(values.get("os"), str):
        values["os"] = [values["os"]]
    check(values)
    if not values.get("gpu") and (kinds := [name for name in GPU_KINDS if values.get(name)]):
        raise RequirementError(f"Bad value for {kinds[0]}, should come with a number of GPUs (gpu)")
    return {**values, "classads": attributes} if attributes else values


def _attributes(config: Mapping[str, Any], scope: Scope, task_index: int) -> dict[str, str]:
    """What a task's job in HTCondor shall have: ``batchsys.condor`` of steering, then of the task.

    Equal for all jobs, so ``$(job)`` is not known here: each job would need pilots of its own.
    """
    parts = (_mapping(config.get("steering")), config["tasks"][task_index])
    given = [_mapping(_mapping(part.get("batchsys")).get("condor")) for part in parts]
    if not any(given):
        return {}
    options = {name: value for name, value in scope.options.items() if name != "job"}
    alike = replace(scope, options=options, seed=f"{scope.options['dataset']}//{task_index}")
    try:
        return dict(sorted({name: value for part in given
                            for name, value in checked_classads(expand(part, alike)).items()}.items()))
    except ClassAdError as error:
        raise RequirementError(f"its ClassAds cannot be: {error}") from None


def payload(dataset: Mapping[str, Any], config: Mapping[str, Any], task: Mapping[str, Any],
            files: Iterable[Document] = (), budget: Budget | None = None) -> Document:
    """What a pilot needs to run one task; `config` with its defaults, `files` are the task's own.

    Raises TooCostly.

    Trays that differ from one iteration to the next are there once for each, with the iteration's number as
    `iter`; `tray` is the tray's place in the configuration.
    """
    index = task["task_index"]
    about = {"task": task["name"], **{name: value for name, value in _ids(dataset, task).items() if value}}
    scope = scope_of(config, dataset, task["job_index"], index, about, budget)
    outer = _Around(replace(scope, parameters={}))
    steering = _mapping(config.get("steering"))
    around, moved = outer.inside({**steering, "parameters": {}})
    written = config["tasks"][index]
    values = {name: steering[name] for name in ("parameters", "batchsys") if name in steering}
    return {
        "dataset": dataset["dataset"], "dataset_id": dataset["dataset_id"], "job_index": task["job_index"],
        "task_index": index, "name": task["name"],
        "options": {**_mapping(expand(_mapping(config.get("options")), scope)), **scope.options},
        "steering": {**expand(values, scope), "data": moved},
        "task": _task({**written, "data": [*(written.get("data") or []), *files]}, around),
    }


def _ids(dataset: Mapping[str, Any], task: Mapping[str, Any]) -> Document:
    return {"dataset_id": dataset["dataset_id"], "task_id": task.get("task_id"), "job_id": task.get("job_id")}


def _mapping(value: Any) -> Document:
    return value if isinstance(value, dict) else {}


# -- the parts, from the outside to the inside


@dataclass(frozen=True)
class _Around:
    """What a part of the configuration sees of the parts around it."""

    scope: Scope
    inputs: tuple[str, ...] = ()  # local names, nearest first
    outputs: tuple[str, ...] = ()

    def inside(self, part: Document) -> tuple[_Around, list[Document]]:
        """What the parts inside of `part` see, and the files that it moves."""
        own = _mapping(part.get("parameters"))
        scope = replace(self.scope, parameters={**self.scope.parameters, **own})
        moved = [*_files(part, scope)]
        inputs = (*_names(moved, "input"), *self.inputs)
        outputs = (*_names(moved, "output"), *self.outputs)
        lists = {"input": " ".join(inputs), "output": " ".join(outputs)}
        return _Around(replace(scope, options={**scope.options, **lists}), inputs, outputs), moved

    def turn(self, number: int) -> _Around:
        """The same in one iteration of a tray."""
        return replace(self, scope=replace(self.scope, options={**self.scope.options, "iter": number}))


def _task(task: Document, around: _Around) -> Document:
    inside, moved = around.inside(task)
    rest = {name: value for name, value in task.items() if name not in _INSIDE}
    trays = [{**made, "tray": number} for number, tray in enumerate(task.get("trays") or [])
             for made in _turns(tray, inside)]
    return {**expand(rest, inside.scope), "data": moved, "trays": trays}


def _turns(tray: Document, around: _Around) -> list[Document]:
    """A tray as it is in each iteration; only once when all are the same."""
    times = expand(tray.get("iterations", 1), around.inside(tray)[0].scope)
    first = _tray(tray, around.turn(0))
    if isinstance(times, bool) or not isinstance(times, int) or not 1 < times <= MOST_ITERATIONS:
        return [{**first, "iterations": times}]
    second = _tray(tray, around.turn(1))
    if first == second:
        return [{**first, "iterations": times}]
    around.scope.budget.grow(times * len(json.dumps(first, default=str)))
    rest = [_tray(tray, around.turn(number)) for number in range(2, times)]
    return [{**made, "iterations": 1, "iter": number} for number, made in enumerate([first, second, *rest])]


def _tray(tray: Document, around: _Around) -> Document:
    inside, moved = around.inside(tray)
    rest = {name: value for name, value in tray.items() if name not in _INSIDE and name != "iterations"}
    return {**expand(rest, inside.scope), "data": moved,
            "modules": [_module(module, inside) for module in tray.get("modules") or []]}


def _module(module: Document, around: _Around) -> Document:
    inside, moved = around.inside(module)
    rest = {name: value for name, value in module.items() if name not in _INSIDE and name != "args"}
    made = {**expand(rest, inside.scope), "args": _arguments(module.get("args"), inside)}
    if isinstance(made.get("configs"), dict):  # a value may have been the name of another
        made["configs"] = expand(made["configs"], inside.scope)
    programs = [*_program(made, "src", "{}"), *_program(made, "env_shell", "./{}")]
    return {**made, "data": [*moved, *programs]}


def _arguments(args: Any, around: _Around) -> Any:
    """Arguments evaluated; the words of a list that hold no expression stay as they are written.

    IceProd reads such a word as a value too, and hands ``["-c", "true"]`` over as ``True``.
    """
    if isinstance(args, dict) and set(args) == {"args", "kwargs"}:
        return {"args": _arguments(args["args"], around), "kwargs": expand(args["kwargs"], around.scope)}
    if isinstance(args, list):
        return [word for item in args for word in _words(item, around)]
    return expand(args, around.scope)


def _words(item: Any, around: _Around) -> list[Any]:
    """``$(input)`` and ``$(output)`` alone stand for one argument per file."""
    if item in ("$(input)", "$(output)"):
        return list(around.inputs if item == "$(input)" else around.outputs)
    return [item if isinstance(item, str) and "$" not in item else expand(item, around.scope)]


def is_address(text: str) -> bool:
    """Whether a name is an address of another place."""
    return _ADDRESS.match(text) is not None


def _program(module: Document, name: str, form: str) -> list[Document]:
    """A program that is named by its address: the file to bring; the module then names that.

    The checksum may stand behind the address, as in ``https://example.org/run.sh#sha256=0123…``.
    """
    text = module.get(name)
    if not isinstance(text, str) or not is_address(text):
        return []
    first, *others = text.split()
    remote, _, fragment = first.partition("#")
    local = os.path.basename(remote.partition("?")[0])
    module[name] = " ".join([form.format(local), *others])
    item = {"type": "permanent", "movement": "input", "remote": remote, "local": local, "transfer": True,
            "program": True}
    return [{**item, "checksum": fragment} if fragment else item]


# -- files


def _files(part: Document, scope: Scope) -> Iterable[Document]:
    for item in part.get("data") or []:
        yield _placed(expand(item, scope), scope, "data_url")
    for item in part.get("resources") or []:
        resource = {**expand(item, scope), "type": "permanent", "movement": "input"}
        yield _placed(resource, scope, "resource_url")
    for item in part.get("classes") or []:
        source = expand(item, scope).get("src") or ""
        yield _placed({"type": "permanent", "movement": "input", "remote": source}, scope, "resource_url")


def _placed(item: Document, scope: Scope, base: str) -> Document:
    """A file with its local name, and its address where the configuration tells it."""
    remote, local = str(item.get("remote") or ""), str(item.get("local") or "")
    kind = str(item.get("type") or "permanent").lower()
    local = local or os.path.basename(remote)
    if not is_address(remote) and not remote.startswith("/") and (place := _place(kind, base, scope)):
        remote = "/".join([place.rstrip("/"), remote or local])
    return {**item, "type": kind, "movement": item.get("movement") or "input", "remote": remote,
            "local": local, "transfer": transfer_of(item.get("transfer", True))}


def _place(kind: str, base: str, scope: Scope) -> str:
    """Where files of a kind lie; nothing for temporary ones, which the pilot has a place for."""
    own = _mapping(scope.config.get("options"))
    name = kind if kind in own else base if kind == "permanent" else ""
    return str(expand(own.get(name, ADDRESSES.get(name, "")), scope)) if name else ""


def transfer_of(value: Any) -> bool | str:
    """Whether a file is moved: True, False, or "maybe" (if it exists). What is not known stays as it is."""
    if isinstance(value, str):
        word = value.lower()
        if word in _MAYBE or word.startswith("if"):
            return "maybe"
        return word in _YES if word in _YES or word in _NO else value
    return value is None or bool(value)


def _names(items: list[Document], movement: str) -> Iterable[str]:
    return (item["local"] for item in items
            if item["transfer"] is not False and item["movement"] in (movement, "both"))
