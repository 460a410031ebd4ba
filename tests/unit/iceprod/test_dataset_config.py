"""Dataset configurations: versions, what is refused, defaults."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iceprod.dataset_config import ConfigError, dependency_index, schema, validate, with_defaults

GOOD: dict[str, Any] = {
    "version": 3.2, "description": "d", "options": {}, "steering": {"parameters": {"seed": 1}},
    "tasks": [{"name": "gen", "requirements": {"cpu": 1, "memory": "$eval(1+1)"},
               "trays": [{"modules": [{"src": "run.py", "args": "--job $(job)"}]}]},
              {"name": "hits", "depends": ["gen", 0, "20000:other", "a" * 32],
               "data": [{"type": "permanent", "movement": "input", "remote": "x", "transfer": "maybe"}],
               "trays": [{"iterations": 2, "modules": [{"src": "b.py"}]}]}]}


def changed(path: list[Any], value: Any, version: float = 3.2) -> dict[str, Any]:
    config = copy.deepcopy(GOOD) | {"version": version}
    part: Any = config
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    return config


def test_good_ones_pass() -> None:
    validate(GOOD)
    validate(GOOD | {"version": 3.1})
    validate({"tasks": [{"name": "a"}]})
    validate({})
    validate(changed(["tasks", 0, "trays", 0, "data"], [], 3.1))
    validate({"version": 3, "tasks": [{"name": "a", "classes": [], "trays": [{"resources": []}]}]})


TRAY = ["tasks", 0, "trays", 0]


@pytest.mark.parametrize(("path", "value", "where"), [
    (["tasks"], "x", "tasks"), (["tasks"], [], "tasks"), (["tasks", 0, "trays"], [], "trays"),
    (["tasks", 0, "name"], 5, "name"), (["tasks", 0], {"trays": [{"modules": [{}]}]}, "name"),
    ([*TRAY, "modules"], [], "modules"), ([*TRAY, "data"], [], "data"), ([*TRAY, "colour"], 1, "colour"),
    ([*TRAY, "modules", 0, "classes"], [], "classes"), (["steering", "resources"], [], "resources"),
    (["tasks", 1, "data", 0], {"remote": "x", "type": "else"}, "type"),
    (["tasks", 1, "depends"], ["later"], "later"),
    (["tasks", 0, "depends"], ["hits"], "hits"), (["tasks", 0, "depends"], [0], "0"),
    (["tasks", 1, "name"], "gen", "gen"), ([*TRAY, "modules", 0, "args"], "$(job", "not closed"),
    (["tasks", 0, "requirements", "memory"], "much", "memory"), (["options"], [], "options"),
    (["tasks", 0, "requirements", "cpu"], -1, "cpu")])
def test_bad_ones_say_where(path: list[Any], value: Any, where: str) -> None:
    with pytest.raises(ConfigError, match=where):
        validate(changed(path, value))


@pytest.mark.parametrize(
    "config",
    [
        {"tasks": {}},
        {"tasks": ["x"]},
        {"tasks": [{"name": 5}]},
        {"steering": []},
        {"tasks": [{"trays": [{"modules": ["x"]}]}]},
    ],
)
def test_the_older_rules_still_check_types(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="Validation error in config"):
        validate(config)


def test_defaults_are_filled_in_and_nothing_else_changes() -> None:
    filled = with_defaults(GOOD)
    task = filled["tasks"][1]
    assert task["requirements"] == {"cpu": 1, "memory": 1.0, "disk": 1.0, "time": 1.0}
    assert task["data"][0]["transfer"] == "maybe"
    assert task["trays"][0]["modules"][0]["env_clear"] is True
    assert filled["tasks"][0]["trays"][0]["iterations"] == 1
    assert filled["tasks"][0]["requirements"]["memory"] == "$eval(1+1)"
    assert "requirements" not in GOOD["tasks"][1]
    validate(filled)


def test_lenient_ones_get_defaults_too() -> None:
    assert with_defaults({"tasks": [{"name": "a"}]})["tasks"][0]["depends"] == []


@pytest.mark.parametrize(("depends", "index"), [("a", 0), (1, 1), ("1", 1), ("x:y", None), ("0" * 32, None)])
def test_dependency_index(depends: str | int, index: int | None) -> None:
    assert dependency_index(["a", "b", "c"], 2, depends) == index


@pytest.mark.parametrize("depends", ["c", 2, 9, -1, "nothing", "5"])
def test_dependency_on_no_earlier_task(depends: str | int) -> None:
    with pytest.raises(ConfigError):
        dependency_index(["a", "b", "c"], 2, depends)


@pytest.mark.parametrize("name", ["3.1", "3.2"])
def test_schemas_are_schemas(name: str) -> None:
    from jsonschema import Draft202012Validator
    Draft202012Validator.check_schema(schema(name))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "tasks", "trays", "modules", "depends", "x"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["tasks", "version", "steering", "options", "description"]), json_values)
)
def test_any_object_is_valid_or_refused_with_a_text(config: dict[str, Any]) -> None:
    try:
        validate(config)
    except ConfigError:
        return
    with_defaults(config)
