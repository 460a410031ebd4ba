"""What is wrong with a configuration is said before it is submitted: where, what, and what was meant."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest

from iceprod.config_check import Kind, Offers, check_config, refused

GOOD: dict[str, Any] = {
    "version": 3.2, "description": "c", "steering": {"parameters": {"seed": 7, "a::0": "x"}},
    "options": {"mode": "fast"},
    "tasks": [{"name": "a", "requirements": {"memory": 2}, "trays": [{"iterations": 2, "modules": [
        {"src": "run.py", "args": {"seed": "$steering(seed)", "at": "$steering(a::$eval($(iter)*0))"}}]}]},
        {"name": "b", "depends": ["a"], "trays": [{"modules": [{"src": "/bin/true"}]}]}]}
MODULE = "tasks[0].trays[0].modules[0]"


def changed(path: str, value: Any, version: float = 3.2) -> dict[str, Any]:
    config = copy.deepcopy(GOOD)
    config["version"] = version
    at: Any = config
    *parents, last = [int(part) if part.isdigit() else part
                      for part in path.replace("[", ".").replace("]", "").split(".")]
    for part in parents:
        at = at[part]
    at[last] = value
    return config


@pytest.mark.parametrize("version", [3, 3.0, 3.1, 3.2, "3.1"])
def test_a_good_one(version: Any) -> None:
    assert check_config({**GOOD, "version": version}, 1000) == []


@pytest.mark.parametrize(("path", "near"), [
    ("taks", "tasks"), ("sterring", "steering"), ("steering.parametres", "parameters"),
    ("tasks[0].requirments", "requirements"), ("tasks[1].dependz", "depends"),
    ("tasks[0].requirements.cpus", "cpu"), ("tasks[0].requirements.mem", "memory"),
    ("tasks[0].requirements.memmory", "memory"), ("tasks[0].trays[0].itertions", "iterations"),
    (f"{MODULE}.envshell", "env_shell"), (f"{MODULE}.sorce", "src"), ("tasks[0].colour", "")])
@pytest.mark.parametrize("version", [3, 3.1, 3.2])
def test_unknown_keys(path: str, near: str, version: float) -> None:
    config = changed(path, [] if path.endswith("z") else {}, version)
    [found] = [one for one in check_config(config) if one.path == path]
    assert refused([found]) == [found]
    assert found.nearest == near or not near
    assert f"unknown key {path.rpartition('.')[2]!r}" in found.text
    assert f"did you mean {near!r}?" in found.text or not near


def test_keys_of_the_data() -> None:
    item = {"type": "permanent", "remote": "http://a/b", "locl": "b"}
    [found] = check_config(changed("tasks[0].data", [item]))
    assert (found.path, found.nearest) == ("tasks[0].data[0].locl", "local")


@pytest.mark.parametrize("version", [2, 3.3, 9, "three", True])
def test_unknown_versions(version: Any) -> None:
    [found] = check_config({**GOOD, "version": version})
    assert (found.path, found.kind) == ("version", Kind.ERROR)
    assert "known are 3.0, 3.1, 3.2" in found.problem


@pytest.mark.parametrize(("text", "problem", "near"), [
    ("$steering(seeed)", "nothing is called 'seeed'", "seed"), ("$(nope)", "nothing is called 'nope'", ""),
    ("$eval(1/0)", "$eval(1/0) cannot be evaluated", ""), ("$sprintf(%06d)", "cannot be evaluated", ""),
    ("$stering(seed)", "there is no function 'stering'", "steering"), ("x$(jobb)y", "'jobb'", "job"),
    ("$args(mod)", "'mod'", "mode")])
@pytest.mark.parametrize("place", [
    f"{MODULE}.args", f"{MODULE}.src", f"{MODULE}.env_shell", f"{MODULE}.running_class",
    f"{MODULE}.parameters.p", "tasks[0].container", "tasks[0].trays[0].parameters.p"])
def test_expressions_without_a_value(text: str, problem: str, near: str, place: str) -> None:
    config = changed(f"{MODULE}.parameters", {})
    config["tasks"][0]["trays"][0]["parameters"] = {}
    *_, last = place.split(".")
    at = config["tasks"][0]["trays"][0]["modules"][0] if "modules" in place else config["tasks"][0]
    if "parameters" in place:
        at = (at if "modules" in place else config["tasks"][0]["trays"][0])["parameters"]
    at[last] = text
    [found] = [one for one in check_config(config, 10) if one.path == place]
    assert problem in found.problem
    assert found.kind is Kind.DOUBT
    assert found.nearest == near
    assert refused([found], lenient=True) == []


@pytest.mark.parametrize("text", [
    "$environ(HOME)", "$HOME", "`date`", "$(date +%s)", "$(input) $(output)", "$5",
    "$(task) $(task_id) $(job_id) $(dataset_id) $(iter) $(job) $(mode)"])
def test_expressions_that_are_fine(text: str) -> None:
    assert check_config(changed(f"{MODULE}.args", text)) == []


def test_a_name_but_for_its_case_is_only_said() -> None:
    [found] = check_config(changed(f"{MODULE}.args", "$steering(Seed)"))
    assert (found.kind, found.nearest) == (Kind.WARNING, "seed")


@pytest.mark.parametrize(("needs", "jobs", "path", "problem"), [
    ({"memory": "$eval(2-$(job))"}, 4, "memory", "between 0 and 1e9, in job 3"),
    ({"memory": "$eval(0-1)"}, 1, "memory", "between 0 and 1e9, in job 0"),
    ({"time": 1e9}, 1, "time", "between 0 and 1e9"), ({"cpu": "$(mode)"}, 1, "cpu", "should be int")])
def test_requirements_without_sense(needs: dict[str, Any], jobs: int, path: str, problem: str) -> None:
    [found] = refused(check_config(changed("tasks[0].requirements", needs), jobs), lenient=True)
    assert found.path == f"tasks[0].requirements.{path}"
    assert problem in found.problem


@pytest.mark.parametrize(("name", "value"), [("memory", 1_000_000), ("cpu", 100_000), ("gpu", 100)])
def test_requirements_that_nobody_offers(name: str, value: float) -> None:
    config = changed("tasks[0].requirements", {name: value})
    [found] = check_config(config)
    assert found.kind is Kind.WARNING
    for offers in (Offers(sites={name: 64}), Offers(pilots={name: 64})):
        [found] = check_config(config, offers=offers)
        assert found.kind is Kind.DOUBT
        assert "the largest offer is 64" in found.problem
    assert check_config(changed("tasks[0].requirements", {name: 60}), offers=Offers({name: 64})) == []
    [found] = check_config(changed("tasks[0].requirements", {name: 65}), offers=Offers({name: 64.0}))[:1]
    assert found.kind is Kind.DOUBT
    config = changed("tasks[0].requirements", {"memory": 9})
    assert check_config(config, offers=Offers({}, {"memory": 4})) == []


def test_a_module_without_anything_to_run() -> None:
    [found] = check_config(changed(MODULE, {"args": "x"}))
    assert (found.path, found.kind) == (MODULE, Kind.ERROR)
    assert "neither src nor running_class" in found.problem


def test_kinds_of_transfer_and_classes() -> None:
    item = {"type": "permanent", "remote": "http://a/b", "transfer": "perhaps"}
    config = changed("tasks[0].data", [item], 3)
    [found] = check_config(config)
    assert (found.path, "'perhaps'" in found.problem) == ("tasks[0].data[0].transfer", True)
    config = changed("tasks[0].classes", [{"name": "x", "src": "http://a/b.tgz", "libs": "lib"}], 3)
    [found] = check_config(config)
    assert found.path == "tasks[0].classes[0]"


def test_what_has_no_version_is_taken_as_old_clients_send_it() -> None:
    assert check_config({"tasks": [{"name": "a", "colour": 1}]}) == []
    assert [one.path for one in check_config({"tasks": 5})] == ["tasks"]
    assert check_config([])[0].kind is Kind.ERROR


def test_attributes_of_batch_jobs_are_not_taken_in_silence() -> None:
    steering = {"batchsys": {"condor": {"+X": "1"}, "slurm": {}}}
    config = {"version": 3.2, "description": "c", "steering": steering, "tasks": [
        {"name": "a", "batchsys": {"condor": {"+Y": "2"}}, "trays": [{"modules": [{"src": "/bin/true"}]}]}]}
    found = check_config(config)
    assert [(one.path, one.kind) for one in found] == [("steering.batchsys.slurm", Kind.DOUBT)]
    del steering["batchsys"]["slurm"]
    assert check_config(config, offers=Offers(classads={"a": ["*"], "b": []})) == []
    for sites, why in (({}, "none submits to HTCondor"), ({"b": ["X"]}, r"b refuses \+Y")):
        [one] = check_config(config, offers=Offers(classads=sites))
        assert (one.path, one.kind) == ("tasks[0].batchsys.condor", Kind.DOUBT)
        assert re.search(why, one.problem)
    steering["batchsys"]["condor"]["+Cmd"] = "1"
    [one] = check_config(config)
    assert (one.path, one.kind) == ("tasks[0].batchsys.condor", Kind.ERROR)


def test_gpus_that_no_site_has() -> None:
    needs = {"gpu": 1, "gpus_minimum_capability": 9.0}
    config = {"version": 3.2, "description": "c", "tasks": [
        {"name": "a", "requirements": needs, "trays": [{"modules": [{"src": "/bin/true"}]}]}]}
    gpu = {"gpus_device_name": "A100", "gpus_minimum_capability": 8.0, "gpus_minimum_memory": 42.0}
    [one] = check_config(config, offers=Offers(gpus=(gpu,)))
    assert (one.path, one.kind) == ("tasks[0].requirements.gpus_minimum_capability", Kind.DOUBT)
    assert "A100 (8, 42 GB)" in one.problem
    needs["gpu"] = 0
    [one] = check_config(config)
    assert (one.kind, "should come with a number of GPUs" in one.problem) == (Kind.ERROR, True)
