"""Counts of a dataset's tasks over time, and when it will be done."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.production.datasets import datasets
from server.production.datasets.datasets import NewDataset
from server.production.tasks import history, task_store
from server.production.tasks.history import MOST, Sample, eta, thinned
from server.production.tasks.task_store import NewTask
from server.rest.context import Context


def steady(count: int, rate: float, step: float = 30.0) -> list[Sample]:
    return [Sample(1e9 + n * step, round(rate * n * step), 0, 5, 5) for n in range(count)]


def test_a_steady_dataset_is_done_when_it_should() -> None:
    found = eta(steady(40, 0.5), 2000)
    assert found is not None
    left = 2000 - steady(40, 0.5)[-1].complete
    assert found.middle == pytest.approx(left / 0.5, rel=0.05)
    assert found.high is not None
    assert found.low < found.middle < found.high < 1.3 * found.middle


def test_nothing_is_foretold_of_what_stands_still() -> None:
    assert eta([], 10) is None
    assert eta(steady(1, 1.0), 10) is None
    assert eta([Sample(1e9 + n, 7, 0, 0, 0) for n in range(50)], 10) is None


def test_an_unsteady_dataset_has_a_wide_band() -> None:
    jumps = [Sample(1e9 + 30 * n, 100 * (n // 5), 0, 5, 5) for n in range(40)]
    wide, narrow = eta(jumps, 5000), eta(steady(40, 100 / 150), 5000)
    assert wide is not None
    assert narrow is not None
    assert wide.high is None or narrow.high is None or wide.high - wide.low > narrow.high - narrow.low


@given(st.lists(st.tuples(st.floats(0.1, 1e5), st.integers(0, 10**6)), min_size=2, max_size=60),
       st.integers(0, 10**8))
def test_the_middle_is_in_the_band(steps: list[tuple[float, int]], tasks: int) -> None:
    moment, complete, samples = 1e9, 0, []
    for dt, n in steps:
        moment, complete = moment + dt, complete + n
        samples.append(Sample(moment, complete, 0, 0, 0))
    found = eta(samples, tasks)
    if found is not None:
        assert 0 <= found.low <= found.middle
        assert found.high is None or found.middle <= found.high


@given(st.integers(1, 2000))
def test_the_list_stays_short_and_keeps_its_ends(count: int) -> None:
    samples: list[Sample] = []
    for sample in steady(count, 1.0):
        samples = thinned([*samples, sample])
    assert len(samples) <= MOST
    assert (samples[0], samples[-1].moment) == (steady(1, 1.0)[0], steady(count, 1.0)[-1].moment)
    assert all(a.moment < b.moment for a, b in itertools.pairwise(samples))


async def test_what_runs_is_counted_and_once_more_at_its_end(ctx: Context) -> None:
    dataset_id = await datasets.create_dataset(ctx, NewDataset("d", "users", 2, 2, 1))
    tasks = await task_store.create_tasks(ctx, dataset_id, [NewTask(0, "a"), NewTask(1, "a")])
    assert await history.record(ctx) == 1
    await task_store.patch(ctx, tasks[0]["task_id"], {"status": "complete"})
    await datasets.set_status(ctx, dataset_id, "suspended")
    assert await history.record(ctx) == 1
    assert await history.record(ctx) == 0
    found = await history.of_dataset(ctx, dataset_id)
    assert [(sample.complete, sample.waiting) for sample in found] == [(0, 2), (1, 1)]


async def test_efficiency_counts_what_failed_tasks_lost(ctx: Context) -> None:
    dataset_id = await datasets.create_dataset(ctx, NewDataset("d", "users", 2, 2, 1))
    good, bad = await task_store.create_tasks(ctx, dataset_id, [NewTask(0, "a"), NewTask(1, "a")])
    await task_store.patch(ctx, good["task_id"], {"status": "complete", "walltime": 3.0})
    await task_store.patch(ctx, bad["task_id"], {"status": "failed", "walltime_err": 1.0})
    found = (await history.efficiencies(ctx, dataset_id, ["a", "b"]))
    assert list(found) == ["a"]
    assert (found["a"].mean_hours, found["a"].efficiency) == (3.0, 0.75)
