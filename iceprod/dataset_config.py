"""Dataset configurations: what versions look like, defaults, and what makes one wrong.

Versions from 3.1 are checked against the schemas in ``config/schema``; older ones only for the types of the
parts that the system itself reads, as their clients expect.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from iceprod import expressions

__all__ = [
    "ConfigError",
    "dependency_index",
    "is_strict",
    "schema",
    "task_names",
    "validate",
    "with_defaults",
]

Config = Mapping[str, Any]


class ConfigError(ValueError):
    """A configuration is wrong; the text says where and why."""


def is_strict(config: Config) -> bool:
    """Whether the configuration declares a version that is checked against a schema."""
    version = config.get("version")
    return isinstance(version, int | float) and not isinstance(version, bool) and version >= 3.1


@cache
def schema(name: str) -> dict[str, Any]:
    """The schema "3.1" or "3.2", as JSON Schema. Do not change it: it is shared."""
    text = resources.files("config").joinpath(f"schema/dataset-{name}.json").read_text(encoding="utf8")
    return json.loads(text)


@cache
def _validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schema(name))


def _schema_name(config: Config) -> str:
    return "3.1" if config["version"] < 3.2 else "3.2"


def validate(config: Config) -> None:
    """Raise ConfigError for a configuration that could not be run."""
    if not isinstance(config, Mapping):
        raise ConfigError("Validation error in config: it is not an object")
    if is_strict(config):
        _check_schema(config)
        _check_names(config)
        _check_dependencies(config)
        _check_expressions(config)
    else:
        _check_lenient(config)


def _check_schema(config: Config) -> None:
    error = best_match(_validator(_schema_name(config)).iter_errors(config))
    if error is not None:
        where = "".join(f"[{part!r}]" for part in error.absolute_path)
        raise ConfigError(f"Validation error in config{where}: {error.message[:500]}")


def _check_lenient(config: Config) -> None:
    """The older rules: what is there must have the right type."""
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
        raise ConfigError(f"Validation error in {where}: it is not an object")
    for name, kind in kinds.items():
        if name in part and not isinstance(part[name], kind):
            raise ConfigError(f"Validation error in {where}[{name!r}]: it is not {_ARTICLES[kind]}")


_ARTICLES: dict[type, str] = {list: "an array", dict: "an object", str: "a string"}


def task_names(config: Config) -> list[str]:
    """The names of the tasks; a task without one is named by its index."""
    return [str(task.get("name") or index) for index, task in enumerate(config.get("tasks", ()))]


def _check_names(config: Config) -> None:
    names = task_names(config)
    for index, name in enumerate(names):
        if name in names[:index]:
            raise ConfigError(f"Validation error in config['tasks'][{index}]['name']: "
                              f"{name!r} is the name of another task")


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


def _check_dependencies(config: Config) -> None:
    names = task_names(config)
    for index, task in enumerate(config["tasks"]):
        for depends in task.get("depends", ()):
            try:
                dependency_index(names, index, depends)
            except ConfigError as error:
                raise ConfigError(
                    f"Validation error in config['tasks'][{index}]['depends']: {error}"
                ) from None


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


def _check_expressions(config: Config) -> None:
    for part in ("tasks", "steering", "options"):
        for where, text in _texts(config.get(part), f"config[{part!r}]"):
            if problem := expressions.check(text):
                raise ConfigError(f"Validation error in {where}: {problem}")


# -- defaults


def with_defaults(config: Config) -> dict[str, Any]:
    """A copy of the configuration with the schema's defaults filled in. Unknown fields stay."""
    form = schema(_schema_name(config)) if is_strict(config) else schema("3.1")
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
