"""Binning, fitting and growing of requirements."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.settings import Failures
from iceprod.requirements import Fit, RequirementError, bin_up, check, class_fit, class_key, fits, grow

LIMITS = Failures()
amounts = st.floats(0, 500, allow_nan=False)
needs = st.fixed_dictionaries({}, optional={
    "cpu": st.integers(0, 40), "gpu": st.integers(0, 4), "memory": amounts, "disk": amounts,
    "time": st.floats(0, 100), "site": st.sampled_from(["", "A", "B"]),
    "os": st.lists(st.sampled_from(["RHEL_7", "RHEL_8"]), max_size=2),
    "gpus_minimum_capability": st.sampled_from([0, 7.5, 9.0]), "restartable": st.booleans(),
    "gpus_device_name": st.sampled_from(["", "a100"]),
    "classads": st.sampled_from([{}, {"+A": "1"}, {"+A": "2"}])})
offers = st.fixed_dictionaries(
    {},
    optional={
        "cpu": st.integers(0, 40),
        "gpu": st.integers(0, 4),
        "memory": amounts,
        "disk": amounts,
        "time": st.floats(0, 100),
        "site": st.sampled_from(["A", "B"]),
        "os": st.sampled_from(["RHEL_7", "RHEL_8"]),
        "gpus_minimum_capability": st.sampled_from([7.5, 8.0]),
        "gpus_device_name": st.sampled_from(["NVIDIA A100-SXM4", "T4", ""]),
        "classads": st.sampled_from([{}, {"+A": "1"}]),
        "preemptible": st.floats(0.5, 20),
    },
)


@given(needs, offers)
def test_a_class_never_says_other_than_its_tasks(need: dict, offer: dict) -> None:
    fit = class_fit(class_key(need), offer)
    if fit is Fit.ALL:
        assert fits(need, offer)
    if fit is Fit.NONE:
        assert not fits(need, offer)


@given(st.sampled_from(["cpu", "gpu", "memory", "disk", "time"]), st.floats(0, 1e6))
def test_bins_hold_their_values(name: str, value: float) -> None:
    edge = bin_up(name, value)
    assert edge >= value - 1e-5
    assert bin_up(name, edge) == edge


@given(needs)
def test_the_key_of_a_class_does_not_depend_on_the_order(need: dict) -> None:
    assert class_key(dict(reversed(need.items()))) == class_key(need)


@pytest.mark.parametrize(("name", "value", "edge"), [
    ("memory", 0.1, 0.5), ("memory", 2.0, 2.0), ("memory", 4.6, 5.0), ("memory", 5.1, 6), ("memory", 21, 24),
    ("time", 0.1, 1 / 6), ("time", 1.0, 1.0), ("time", 1.1, 1.25), ("time", 6.5, 7), ("time", 25, 28),
    ("cpu", 3, 3), ("disk", 10.2, 11)])
def test_edges(name: str, value: float, edge: float) -> None:
    assert bin_up(name, value) == pytest.approx(edge, abs=1e-6)


@pytest.mark.parametrize(
    ("need", "offer", "fit"),
    [
        ({}, {"cpu": 1}, True),
        ({"cpu": 2}, {"cpu": 1}, False),
        ({"cpu": 2}, {"memory": 1}, True),
        ({"memory": 4.0}, {"memory": 4.0}, True),
        ({"gpu": 1}, {"gpu": 0}, False),
        ({"cpu": 1}, {"gpu": 1}, False),
        ({"gpu": 1}, {"gpu": 2}, True),
        ({"gpu": 3}, {"gpu": 2}, False),
        ({"site": "A"}, {"site": "B"}, False),
        ({"site": "A"}, {"site": "A"}, True),
        ({}, {"site": "A"}, True),
        ({"os": ["R7", "R8"]}, {"os": "R8"}, True),
        ({"os": ["R7"]}, {"os": "R8"}, False),
        ({"gpu": 0}, {"gpu": 0}, True),
    ],
)
def test_fits(need: dict, offer: dict, fit: bool) -> None:
    assert fits(need, offer) is fit
    assert (class_fit(class_key(need), offer) is Fit.ALL) is fit


def test_an_offer_inside_a_bin_fits_some() -> None:
    assert class_fit(class_key({"memory": 3.1}), {"memory": 3.2}) is Fit.SOME
    assert class_fit(class_key({"memory": 3.1}), {"memory": 3.0}) is Fit.NONE
    assert class_fit(class_key({"memory": 3.1}), {"memory": 3.5}) is Fit.ALL


@pytest.mark.parametrize(
    ("need", "used", "name", "value"),
    [
        ({"memory": 2.0}, {"memory": 9}, "memory", 13.5),
        ({"memory": 20.0}, {"memory": 9}, "memory", 20.0),
        ({"memory": 4}, {"memory": 3.1}, "memory", 5),
        ({"time": 1.0}, {"time": 0.1}, "time", 1.0),
        ({"cpu": 1}, {"cpu": 3.7}, "cpu", 2),
        ({"cpu": 1}, {"cpu": 1.05}, "cpu", 1),
        ({"cpu": 1}, {"cpu": 50}, "cpu", 1),
        ({"cpu": 4}, {"cpu": 4.2}, "cpu", 4),
        ({"gpu": 1}, {"gpu": 2}, "gpu", 1),
        ({}, {"disk": 10}, "disk", 15),
        ({"memory": 2.0}, {"memory": "9"}, "memory", 2.0),
        ({"memory": 100.0}, {"memory": 120}, "memory", 128.0),
    ],
)
def test_growth(need: dict, used: dict, name: str, value: float) -> None:
    assert grow(need, used, LIMITS)[name] == value


@given(needs, needs)
def test_growth_never_shrinks(need: dict, used: dict) -> None:
    grown = grow(need, used, LIMITS)
    assert all(grown[name] >= need[name] for name in ("cpu", "gpu", "memory", "disk", "time") if name in need)


@pytest.mark.parametrize("bad", [{"cpu": "1"}, {"cpu": 1.5}, {"gpu": True}, {"memory": -1}, {"memory": []},
                                 {"site": 5}, {"os": [1]}, {"time": 1e12}])
def test_wrong_types_are_refused(bad: dict) -> None:
    with pytest.raises(RequirementError, match=next(iter(bad))):
        check(bad)


@pytest.mark.parametrize(("needs", "offer", "fit"), [
    ({"gpu": 1, "gpus_minimum_capability": 8.0}, {"gpu": 1}, False),  # who does not say does not have
    ({"gpu": 1, "gpus_minimum_capability": 8.0}, {"gpu": 1, "gpus_minimum_capability": 8.6}, True),
    ({"gpu": 1, "gpus_minimum_memory": 40.0}, {"gpu": 1, "gpus_minimum_memory": 16.1}, False),
    ({"gpu": 1, "gpus_device_name": "A100"}, {"gpu": 1, "gpus_device_name": "NVIDIA A100-SXM4-40GB"}, True),
    ({"gpu": 1, "gpus_device_name": "H100"}, {"gpu": 1, "gpus_device_name": "NVIDIA A100-SXM4-40GB"}, False),
    ({"classads": {"+A": "1"}}, {"cpu": 1}, False),
    ({"classads": {"+A": "1"}}, {"classads": {"+A": "1"}}, True),
    ({}, {"classads": {"+A": "1"}}, False),  # the slot is for those who asked for it
    ({"time": 1.0}, {"time": 9.0, "preemptible": 1.0}, True),
    ({"time": 1.1}, {"time": 9.0, "preemptible": 1.0}, False),
    ({}, {"time": 9.0, "preemptible": 1.0}, False),
    ({"restartable": True}, {"time": 9.0, "preemptible": 1.0}, True),
    ({"time": 8.0, "restartable": True}, {"time": 9.0, "preemptible": 1.0}, True)])
def test_kinds(needs: dict[str, object], offer: dict[str, object], fit: bool) -> None:
    assert fits(needs, offer) is fit
    assert (class_fit(class_key(needs), offer) is not Fit.NONE) is fit


@pytest.mark.parametrize(("needs", "why"), [
    ({"gpus_minimum_memory": 16000}, "in GB as all memory here"),
    ({"gpus_minimum_capability": "8"}, "Bad type"),
    ({"gpus_device_name": 'x"'}, "part of its name"), ({"restartable": 1}, "should be bool"),
    ({"classads": {"Cmd": "1"}}, "cannot be set by a task")])
def test_kinds_that_make_no_sense(needs: dict[str, object], why: str) -> None:
    with pytest.raises(RequirementError, match=why):
        check(needs)
