"""Priorities of datasets and tasks, between 0 and 1: the greater, the sooner.

A dataset's priority weighs what its owner asked for against the others of the owner and the group, the
owner's and group's own weights, how long it waits, how large it is, and how much of the owner's work is
already there. A task's adds to it: finish jobs that have begun, take the jobs in order, and give early
feedback with the first ones.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["GROUP_WEIGHTS", "Share", "dataset_priority", "task_priority"]

GROUP_WEIGHTS = {"admin": 1.0, "simprod": 0.5, "filtering": 0.9, "users": 0.8}
DEFAULT_WEIGHT = 0.5
FEEDBACK_JOBS = 100  # so many first jobs come earlier


@dataclass(frozen=True)
class Share:
    """What a dataset is compared with."""

    highest_of_user: float  # the highest priority asked for among the owner's datasets
    highest_of_group: float
    user_weight: float = 0.5
    unfinished_of_user: int = 0  # tasks
    unfinished: int = 0  # tasks of everybody


def _clip(value: float) -> float:
    return min(1.0, max(0.0, value))


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def dataset_priority(asked: float, group: str, jobs: int, age_days: float, share: Share) -> float:
    """The priority of a dataset whose owner asked for `asked` and that is `age_days` old."""
    value = _ratio(asked, share.highest_of_user)
    if group == "users":
        value *= math.sqrt(max(0.0, share.user_weight))
    else:
        value -= (1 - _ratio(asked, share.highest_of_group)) / 4
    value *= GROUP_WEIGHTS.get(group, DEFAULT_WEIGHT)
    if age_days > 1:
        value *= (age_days * 24) ** 0.05 - 0.17
    if jobs > 0:
        value *= min(1.0, (10_000 / jobs) ** 0.05)
    return _clip(value - _ratio(share.unfinished_of_user, share.unfinished) / 4)


def task_priority(dataset: float, task_index: int, tasks_per_job: int, job_index: int, jobs: int) -> float:
    """The priority of one task of a dataset with the given priority."""
    value = dataset + _ratio(task_index, tasks_per_job) / 5 - _ratio(job_index, jobs) / 5
    if job_index < FEEDBACK_JOBS:
        value += (FEEDBACK_JOBS - job_index) / 100
    return _clip(value)
