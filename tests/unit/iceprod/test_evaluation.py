"""Where expressions are evaluated, and what they see there."""

from __future__ import annotations

from typing import Any

import pytest

from iceprod.dataset_config import with_defaults
from iceprod.evaluation import PLACES, is_address, payload, requirements_of, transfer_of
from iceprod.expressions import TooCostly
from iceprod.requirements import RequirementError

DATASET = {"dataset": 12, "dataset_id": "d" * 32, "jobs_submitted": 5, "tasks_submitted": 5, "debug": False}
TASK = {"task_index": 0, "job_index": 3, "name": "gen", "task_id": "t" * 32, "job_id": "j" * 32}


def evaluated(**changes: Any) -> dict[str, Any]:
    """The payload of a configuration with these parts: steering, options, task, tray, module."""
    module = {"src": "prog", **changes.get("module", {})}
    tray = {"modules": [module], **changes.get("tray", {})}
    config = {"version": 3.1, "description": "c", "options": changes.get("options", {}),
              "steering": {"parameters": {"x": "v"}, **changes.get("steering", {})},
              "tasks": [{"name": "gen", "trays": [tray], **changes.get("task", {})}]}
    return payload(DATASET, with_defaults(config), TASK)


WRITTEN: dict[str, Any] = {
    "data": [{"type": "permanent", "remote": "http://a/$(x)", "local": "$(x)"}],
    "resources": [{"remote": "http://a/$(x)", "local": "$(x)"}],
    "classes": [{"name": "c", "src": "http://a/$(x)"}],
    "parameters": {"p": "$(x)", "x": "v"}, "batchsys": {"condor": {"a": "$(x)"}},
    "token_scopes": {"a": "$(x)"},
    "configs": {"$(x).json": {"a": "$(x)"}}, "args": ["$(x)"], "iterations": "$eval(1+1)",
    "env_clear": "$(x)", "requirements": None}


@pytest.mark.parametrize(("part", "name"), [(part, name) for part, names in PLACES.items() for name in names
                                            if name != "requirements"])
def test_every_place(part: str, name: str) -> None:
    made = evaluated(**{part: {name: WRITTEN.get(name, "$(x)")}})
    place = {"steering": made["steering"], "task": made["task"], "tray": made["task"]["trays"][0],
             "module": made["task"]["trays"][0]["modules"][0]}[part]
    if name in ("data", "resources", "classes"):
        assert [(item["remote"], item["local"]) for item in place["data"]] == [("http://a/v", "v")]
    elif name == "iterations":
        assert place[name] == 2
    else:
        assert "$" not in str(place[name])
        assert "v" in str(place[name])


@pytest.mark.parametrize(("text", "value"), [
    ("$(task)", "gen"), ("$(task_id)", "t" * 32), ("$(job_id)", "j" * 32), ("$(dataset_id)", "d" * 32),
    ("$(job)", 3), ("$(dataset)", 12), ("$(jobs_submitted)", 5), ("$(tasks_submitted)", 5),
    ("$args(job)", 3), ("$(iter)", 0), ("$environ(HOME)", "$environ(HOME)")])
def test_what_the_system_tells(text: str, value: Any) -> None:
    assert evaluated(module={"args": {"a": text}})["task"]["trays"][0]["modules"][0]["args"] == {"a": value}


def test_names_of_files() -> None:
    files = {"steering": "s", "task": "t", "tray": "y", "module": "m"}
    parts = {part: {"data": [{"type": "permanent", "movement": "both", "remote": f"http://a/{name}"}]}
             for part, name in files.items()}
    parts["module"]["data"].append({"type": "permanent", "remote": "http://a/not", "transfer": False})
    parts["module"]["args"] = {"args": ["$(input)", "x"], "kwargs": {"out": "$(output)"}}
    module = evaluated(**parts)["task"]["trays"][0]["modules"][0]
    assert module["args"] == {"args": ["m", "y", "t", "s", "x"], "kwargs": {"out": "m y t s"}}


@pytest.mark.parametrize(("written", "words"), [
    (["-c", "true"], ["-c", "true"]), (["1.50", "1e3", "[1, 2]", "007"], ["1.50", "1e3", "[1, 2]", "007"]),
    ([True, 1], [True, 1]), (["$(job)", "$eval(1+1)"], [3, 2]), ({"a": "true"}, {"a": True})])
def test_words_without_an_expression_stay_as_they_are_written(written: Any, words: Any) -> None:
    assert evaluated(module={"args": written})["task"]["trays"][0]["modules"][0]["args"] == words


def test_iterations_differ_only_where_they_do() -> None:
    steering = {"parameters": {"n::0": "a", "n::1": "b", "name": "$steering(n::$(iter))"}}
    tray = {"iterations": 2, "data": [{"type": "job_temp", "movement": "output", "local": "h_$(iter)"}]}
    trays = evaluated(steering=steering, tray=tray, module={"args": "$steering(name)"})["task"]["trays"]
    assert [(one["iter"], one["iterations"], one["data"][0]["local"]) for one in trays] == [
        (0, 1, "h_0"), (1, 1, "h_1")]
    assert [one["modules"][0]["args"] for one in trays] == ["a", "b"]
    [same] = evaluated(tray={"iterations": 5})["task"]["trays"]
    assert same["iterations"] == 5


@pytest.mark.parametrize(("item", "options", "remote"), [
    ({"remote": "a/b"}, {}, "gsiftp://gridftp.icecube.wisc.edu/a/b"),
    ({"local": "b"}, {"data_url": "osdf:///x/$(job)/"}, "osdf:///x/3/b"),
    ({"type": "job_temp", "local": "b"}, {}, ""),
    ({"type": "job_temp", "local": "b"},
     {"site_temp": "http://t", "job_temp": "$(site_temp)/$(dataset)/$(job)"}, "http://t/12/3/b"),
    ({"remote": "/data/x"}, {}, "/data/x"), ({"remote": "file:/data/x"}, {}, "file:/data/x")])
def test_addresses(item: dict[str, str], options: dict[str, str], remote: str) -> None:
    [found] = evaluated(options=options, task={"data": [{"type": "permanent", **item}]})["task"]["data"]
    assert found["remote"] == remote


@pytest.mark.parametrize(("value", "meant"), [
    (True, True), (False, False), (0, False), (1, True), (None, True), ("yes", True), ("N", False),
    ("true", True), ("maybe", "maybe"), ("exists", "maybe"), ("m", "maybe"), ("if_exists", "maybe"),
    ("perhaps", "perhaps")])
def test_kinds_of_transfer(value: Any, meant: Any) -> None:
    assert transfer_of(value) == meant


def test_programs_by_address() -> None:
    module = {"src": "https://a.org/x/run_$(job).py?v=1#sha256=00ff", "env_shell": "http://a.org/env.sh -q"}
    made = evaluated(module=module)["task"]["trays"][0]["modules"][0]
    assert (made["src"], made["env_shell"]) == ("run_3.py", "./env.sh -q")
    program, shell = made["data"]
    assert (program["remote"], program["local"]) == ("https://a.org/x/run_3.py?v=1", "run_3.py")
    assert program["checksum"] == "sha256=00ff"
    assert (shell["remote"], shell["local"], "checksum" in shell) == ("http://a.org/env.sh", "env.sh", False)
    assert not is_address("a/b.py")


def test_trays_do_not_multiply_without_end() -> None:
    with pytest.raises(TooCostly, match="too much text"):
        evaluated(tray={"iterations": 10_000}, module={"args": "$(iter) " + "x" * 10_000})


def test_all_parts_of_a_task_share_what_they_may_cost() -> None:
    module = {"src": "/bin/echo", "args": "$(job) " + "x" * 900}
    with pytest.raises(TooCostly, match="too many steps"):
        evaluated(tray={"modules": [module] * 10_000})


def test_requirements_may_cost_little() -> None:
    config = {"tasks": [{"requirements": {"memory": "$eval(1+1)", "os": "$(job)" * 4000}}]}
    with pytest.raises(RequirementError, match="too many steps"):
        requirements_of(config, {**DATASET}, 0, 0)
