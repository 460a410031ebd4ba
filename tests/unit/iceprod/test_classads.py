"""ClassAds that tasks may set: what is let through is one whole expression, and nothing that we set."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iceprod.batch.classads import ClassAdError, check_classads, checked_classads, is_let, not_let
from iceprod.evaluation import requirements_of
from iceprod.requirements import RequirementError

DATASET = {"dataset": 7, "jobs_submitted": 3, "tasks_submitted": 3, "debug": False}
pieces = st.sampled_from([
    "TARGET.", "MY.", "Memory", "x", "1", "2.5", "1e3", '"a b"', '"\\""', "(", ")", "{", "}", ",", "&&", "||",
    "==", "=?=", "=!=", "!", "-", "+", "*", "?", ":", "<", ">=", "regexp", "member", "is", "isnt", " ",
    "undefined", "queue", "\n", "$(x)", "\\", '"', "#", "[", "]", ";", "="])


def test_names_and_values_as_submit_descriptions_have_them() -> None:
    given = {"+SingularityImage": '"/cvmfs/x y.sif"', "my.WantX": True, "rank": "Memory * 2", "+N": 5,
             "Requirements": 'TARGET.HasX =?= true && regexp("^a", Machine)\n || (Memory > 2e3 ? true : 0)'}
    made = checked_classads(given)
    assert made == {
        "+SingularityImage": '"/cvmfs/x y.sif"', "+WantX": "true", "rank": "Memory * 2", "+N": "5",
        "requirements": 'TARGET.HasX =?= true && regexp("^a", Machine)  || (Memory > 2e3 ? true : 0)'}
    check_classads(made)


@pytest.mark.parametrize(("name", "value", "why"), [
    ("+X", "true) || (true", "not expected"), ("+X", "1\nqueue 5", "not expected"),
    ("+X", "plain text", "quotes"),
    ("+X", "$(y)", "without the job's number"), ("+X", "f(1)", "no function 'f'"), ("+X", "(" * 50, "nested"),
    ("+X", "", "ends too early"), ("+X", "1 +", "ends too early"), ("+X", '"a', "not understood"),
    ("+X", "a.b", "followed by a name"), ("+X", [1], "expression"), ("+X", float("inf"), "expression"),
    ("+X", "1 + " * 300 + "1", "1000 characters"),
    ("X", "1", "written \\+X"), ("queue", "1", "cannot be set"),
    ("+RequestMemory", "1", "set by us"), ("+IceProdSite", '"x"', "set by us"), ("+Cmd", '"x"', "set by us"),
    ("executable", "1", "cannot be set"), ("+JobPrio", "1", "set by us"), ("+AcctGroup", '"x"', "set by us"),
    ("+PeriodicRemove", "true", "set by us"), ("+TransferInput", '"/etc/passwd"', "set by us")])
def test_what_would_break_the_system_is_refused(name: str, value: object, why: str) -> None:
    with pytest.raises(ClassAdError, match=why):
        checked_classads({name: value})


def test_too_many_and_twice() -> None:
    with pytest.raises(ClassAdError, match="given twice"):
        checked_classads({"+A": 1, "+a": 2})
    with pytest.raises(ClassAdError, match="20 are the most"):
        checked_classads({f"+A{number}": 1 for number in range(21)})
    for wrong in (5, {"X": "1"}, {"+X": 1}):
        with pytest.raises(ClassAdError):
            check_classads(wrong)


@given(st.lists(pieces, max_size=12))
def test_htcondor_reads_whatever_is_let_through(parts: list[str]) -> None:
    classad2 = pytest.importorskip("classad2")
    try:
        made = checked_classads({"+X": "".join(parts)})["+X"]
    except ClassAdError:
        return
    assert "\n" not in made
    assert "$" not in made
    classad2.ExprTree(made)
    classad2.ExprTree(f"true && ({made})")


def test_sites_let_names_through_by_patterns() -> None:
    given = {"+SingularityImage": '"x"', "requirements": "true"}
    assert not_let(given, ["*"]) == []
    assert not_let(given, ["+singularity*"]) == ["requirements"]
    assert not_let(given, []) == [*given]
    assert is_let("+A", ["A"])


def test_the_task_adds_to_what_steering_says() -> None:
    config = {"steering": {"parameters": {"image": "/cvmfs/a"},
                           "batchsys": {"condor": {"+Image": '"$steering(image)"', "+N": 1}}},
              "tasks": [{"name": "a", "requirements": {"cpu": 1}, "batchsys": {"condor": {"+N": 2}}}]}
    assert requirements_of(config, DATASET, 0, 0) == {
        "cpu": 1, "classads": {"+Image": '"/cvmfs/a"', "+N": "2"}}


@pytest.mark.parametrize("value", ["$(job)", "$eval($(job) + 1)", "x y"])
def test_jobs_differ_in_no_attribute(value: str) -> None:
    config = {"tasks": [{"name": "a", "batchsys": {"condor": {"+N": value}}}]}
    with pytest.raises(RequirementError, match="its ClassAds cannot be"):
        requirements_of(config, DATASET, 1, 0)


def test_requirements_themselves_set_none() -> None:
    config = {"tasks": [{"name": "a", "requirements": {"classads": {"+Cmd": "1"}}}]}
    assert requirements_of(config, DATASET, 0, 0) == {}
