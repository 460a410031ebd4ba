"""Who is to blame for a failure, and when a task is given up."""

from __future__ import annotations

import pytest

from config.settings import Failures
from server.production.failures.failures import Blame, blame, is_exhausted


@pytest.mark.parametrize(
    "reason",
    [
        "failed to transfer input file",
        "Resource overusage for memory: 4.2 GB",
        "memory limit exceeded",
        "SIGTERM",
        "killed",
        "Bus error",
        "CVMFS not mounted",
        "OpenCL set-up failed",
        "connection timed out",
        "queue time exceeded",
        "No space left on device",
        "cpu usage exceeded",
    ],
)
def test_the_place(reason: str) -> None:
    assert blame(reason) is Blame.INFRASTRUCTURE


@pytest.mark.parametrize(
    "reason",
    ["", "exit code 1", "KeyError: 'x'", "assertion failed", "segmentation fault", "skilled workers only"],
)
def test_the_work(reason: str) -> None:
    assert blame(reason) is Blame.PAYLOAD


def test_budget_of_the_work() -> None:
    limits = Failures(max_failures=2)
    assert not is_exhausted({"failures": 1}, Blame.PAYLOAD, limits)
    assert is_exhausted({"failures": 2}, Blame.PAYLOAD, limits)
    assert not is_exhausted({"failures": 4, "infrastructure_failures": 3}, Blame.PAYLOAD, limits)


def test_the_place_does_not_spend_it_but_is_not_tried_for_ever() -> None:
    limits = Failures(max_failures=2)
    assert not is_exhausted({"failures": 9, "infrastructure_failures": 9}, Blame.INFRASTRUCTURE, limits)
    assert is_exhausted({"failures": 10, "infrastructure_failures": 10}, Blame.INFRASTRUCTURE, limits)


def test_a_task_may_have_a_budget_of_its_own() -> None:
    assert is_exhausted({"failures": 0, "max_failures": 0}, Blame.PAYLOAD, Failures())
