"""Dataset configurations: what versions look like, defaults, and what makes one wrong.

Versions from 3.1 are checked against the schemas in ``config/schema``; older ones only for the types of the
parts that the system itself reads, as their clients expect.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from itertools import chain, islice
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match, relevance

from iceprod import expressions
from iceprod.config_keys import unknown_keys

__all__ = [
    "ConfigError",
    "dependency_index",
    "is_strict",
    "is_versioned",
    "place_of",
    "problems",
    "schema",
    "schema_of",
    "task_names",
    "validate",
    "with_defaults",
]

Config = Mapping[str, Any]


MOST_PROBLEMS = 100
VERSIONS = (3.0, 3.1, 3.2)


class ConfigError(ValueError):
    """A configuration is wrong; the text says where and why.

    `path` is the place, such as ``tasks[1].trays[0].modules[0].args``, `problem` what is wrong there, and
    `nearest` the known name that was meant, maybe.
    """

    def __init__(self, problem: str, where: str = "", nearest: str = "") -> None:
        self.path, self.problem, self.nearest = path_of(where), problem, nearest
        at = f" (at {self.path})" if self.path else ""
        super().__init__(f"Validation error in {where}: {problem}{at}" if where else problem)


def place_of(path: str) -> str:
    """The place as IceProd writes it: ``config['tasks'][0]['name']`` for ``tasks[0].name``."""
    return "config" + re.sub(r"\.?([^.\[\]]+)(?![^\[]*\])", r"['\1']", path)


def path_of(where: str) -> str:
    """The path of a place: ``tasks[0].name`` for ``config['tasks'][0]['name']``."""
    return re.sub(r"\['(\w+)'\]", r".\1", where.removeprefix("config")).removeprefix(".")


def version_of(config: Config) -> float | None:
    """The version that the configuration declares, as IceProd takes it: a number, or a number as text."""
    version = config.get("version")
    if isinstance(version, str) and re.fullmatch(r"[0-9](\.[0-9]+)?", version):
        return float(version)
    return float(version) if isinstance(version, int | float) and not isinstance(version, bool) else None


def is_versioned(config: Config) -> bool:
    """Whether the configuration declares a version; old clients send some that do not."""
    return version_of(config) is not None


def is_strict(config: Config) -> bool:
    """Whether the configuration declares a version that is checked against a schema."""
    version = version_of(config)
    return version is not None and version >= 3.1


@cache
def schema(name: str) -> dict[str, Any]:
    """The schema "3.1" or "3.2", as JSON Schema. Do not change it: it is shared."""
    text = resources.files("config").joinpath(f"schema/dataset-{name}.json").read_text(encoding="utf8")
    return json.loads(text)


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schema(name))


def _schema_name(config: Config) -> str:
    return "3.2" if (version_of(config) or 0.0) >= 3.2 else "3.1"


def schema_of(config: Config) -> dict[str, Any]:
    """The schema that tells the names of a configuration's parts; versions before 3.1 have more."""
    return schema(_schema_name(config))


def validate(config: Config) -> None:
    """Raise ConfigError for a configuration that could not be run."""
    for problem in problems(config, 1):
        raise problem


def problems(config: Config, most: int = MOST_PROBLEMS) -> list[ConfigError]:
    """What is wrong with a configuration, `most` of it; nothing when it could be run."""
    if not isinstance(config, Mapping):
        return [ConfigError("it is not an object", "config")]
    if problem := _version_problem(config):
        return [problem]
    if not is_strict(config):
        return list(islice(_lenient_problems(config), most))
    if isinstance(config["version"], str):
        config = {**config, "version": version_of(config)}
    if found := list(_schema_problems(config, most)):
        return found
    others = chain(_name_problems(config), _dependency_problems(config), _expression_problems(config))
    return list(islice(others, most))


def _version_problem(config: Config) -> ConfigError | None:
    """What is wrong with the version, when one is declared."""
    if config.get("version") is None or version_of(config) in VERSIONS:
        return None
    known = ", ".join(map(str, VERSIONS))
    return ConfigError(f"unknown version {config['version']!r}, known are {known}", "config['version']")


def _schema_problems(config: Config, most: int) -> Iterator[ConfigError]:
    """The problem that tells most comes first."""
    for key in unknown_keys(config, schema_of(config)):
        if key.forbidden:
            yield ConfigError(key.problem, place_of(key.path), key.nearest)
    # As in IceProd, a default stands for what is required, such as the type of data.
    found = (error for error in _validator(_schema_name(config)).iter_errors(with_defaults(config))
             if error.validator != "additionalProperties")
    for error in sorted(found, key=relevance, reverse=True)[:most]:
        nearest = best_match([error]) or error
        where = "".join(f"[{part!r}]" for part in nearest.absolute_path)
        yield ConfigError(nearest.message[:500], f"config{where}")


def _lenient_problems(config: Config) -> Iterator[ConfigError]:
    """The older rules: what is there must have the right type."""
    try:
        _check_lenient(config)
    except ConfigError as error:
        yield error


def _check_lenient(config: Config) -> None:
    _check_types(config, "config", tasks=list, steering=dict, options=dict)
    for where, task in _parts(config, "tasks", "config"):
        _check_types(task, where, name=str, depends=list, requirements=dict, trays=list)
        for where_tray, tray in _parts(task, "trays", where):
            _check_types(tray, where_tray, modules=list)
            for where_module, module in _parts(tray, "modules", where_tray):
                _check_types(module, where_module, parameters=dict)


def _parts(whole: Config, name: str, where: str) -> Iterator[tuple[str, Any]]:
    return ((f"{where}[{name!r}][{index}]", part) for index, part in enumerate(whole.get(name, ())))


def _check_types(part: Any, where: str, **kinds: type) -> None:
    if not isinstance(part, dict):
        raise ConfigError("it is not an object", where)
    for name, kind in kinds.items():
        if name in part and not isinstance(part[name], kind):
            raise ConfigError(f"it is not {_ARTICLES[kind]}", f"{where}[{name!r}]")


_ARTICLES: dict[type, str] = {list: "an array", dict: "an object", str: "a string"}


def task_names(config: Config) -> list[str]:
    """The names of the tasks; a task without one is named by its index."""
    return [str(task.get("name") or index) for index, task in enumerate(config.get("tasks", ()))]


def _name_problems(config: Config) -> Iterator[ConfigError]:
    names = task_names(config)
    for index, name in enumerate(names):
        if name in names[:index]:
            yield ConfigError(f"{name!r} is the name of another task", f"config['tasks'][{index}]['name']")


# -- dependencies


def dependency_index(names: list[str], index: int, depends: str | int) -> int | None:
    """Which task of the same job the task `index` depends on; None for a task elsewhere.

    Raises ConfigError for a task that does not come earlier.
    """
    earlier: int | None = None
    if isinstance(depends, int):
        earlier = depends
    elif depends in names:
        earlier = names.index(depends)
    elif depends.isdigit() and len(depends) < 6:
        earlier = int(depends)
    elif ":" in depends or _is_id(depends):
        return None
    if earlier is None:
        raise ConfigError(f"there is no task {depends!r} to depend on")
    if not 0 <= earlier < index:
        raise ConfigError(f"it depends on {depends!r}, which is no earlier task")
    return earlier


def _is_id(text: str) -> bool:
    return len(text) == 32 and all(sign in "0123456789abcdef" for sign in text)


def _dependency_problems(config: Config) -> Iterator[ConfigError]:
    names = task_names(config)
    for index, task in enumerate(config["tasks"]):
        for number, depends in enumerate(task.get("depends", ())):
            try:
                dependency_index(names, index, depends)
            except ConfigError as error:
                yield ConfigError(str(error), f"config['tasks'][{index}]['depends'][{number}]")


# -- expressions


def _texts(value: Any, where: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield where, value
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _texts(item, f"{where}[{index}]")
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _texts(item, f"{where}[{key!r}]")


def _expression_problems(config: Config) -> Iterator[ConfigError]:
    budget = expressions.Budget()
    for part in ("tasks", "steering", "options"):
        for where, text in _texts(config.get(part), f"config[{part!r}]"):
            try:
                problem = expressions.check(text, budget)
            except expressions.TooCostly as error:
                yield ConfigError(str(error), where)
                return
            if problem:
                yield ConfigError(problem, where)


# -- defaults


def with_defaults(config: Config) -> dict[str, Any]:
    """A copy of the configuration with the schema's defaults filled in. Unknown fields stay."""
    form = schema_of(config)
    filled = copy.deepcopy(dict(config))
    _fill(filled, form, form)
    return filled


def _fill(value: Any, part: Mapping[str, Any], form: Mapping[str, Any]) -> None:
    if "$ref" in part:
        part = form["$defs"][part["$ref"].rpartition("/")[2]]
    if isinstance(value, dict):
        for name, described in part.get("properties", {}).items():
            if name not in value and "default" in described:
                value[name] = copy.deepcopy(described["default"])
            if name in value:
                _fill(value[name], described, form)
    elif isinstance(value, list) and "items" in part:
        for item in value:
            _fill(item, part["items"], form)
