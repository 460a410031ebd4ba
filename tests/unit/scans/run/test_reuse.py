"""Which pixels a rescan takes over, and how a worker's rows join them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from scanner.maps.result import PIXEL_DTYPE, nan_rows
from server.scans.pixels.batches import Batch
from server.scans.pixels.cutting import Cut
from server.scans.run.reuse import Finished, taken_over


def rows(pixels: np.ndarray, value: float = 1.0) -> np.ndarray:
    table = nan_rows(pixels)
    table["llh"] = value * pixels
    return table


def cut(pixels: list[int], seeds: np.ndarray | None = None) -> Cut:
    return Cut(0, 8, np.array(pixels, dtype=np.int64), seeds)


def finished(pixels: list[int], seeds: np.ndarray | None = None) -> Finished:
    index = np.array(pixels, dtype=np.int64)
    return Finished.of([(index, seeds, rows(index))])


def test_the_same_pixels_are_taken_over() -> None:
    found = taken_over(cut([5, 9, 2]), finished([2, 3, 5]))
    assert sorted(found["index"].tolist()) == [2, 5]
    assert (found["llh"] == found["index"]).all()


def test_failed_fits_are_not() -> None:
    done = finished([2, 3])
    done.rows["llh"][0] = np.nan
    assert taken_over(cut([2, 3]), done)["index"].tolist() == [3]


def test_only_the_same_seed_counts_and_nan_is_itself() -> None:
    old, new = nan_rows(np.array([7, 7, 7])), nan_rows(np.array([7, 7, 7]))
    new["X"][1] = 3.0
    found = taken_over(cut([1, 2, 3], new), finished([1, 2, 3], old))
    assert sorted(found["index"].tolist()) == [1, 3]


def test_seeded_and_unseeded_pixels_differ() -> None:
    seeds = nan_rows(np.array([7]))
    assert not len(taken_over(cut([1], seeds), finished([1])))
    assert not len(taken_over(cut([1]), finished([1], seeds)))
    nothing = Finished(np.empty(0, np.int64), None, np.empty(0, PIXEL_DTYPE))
    assert not len(taken_over(cut([1]), nothing))


@given(st.lists(st.integers(0, 500), unique=True, min_size=1, max_size=60), st.data())
def test_rows_join_in_the_order_of_the_pixels(pixels: list[int], data: st.DataObject) -> None:
    known = data.draw(st.lists(st.sampled_from(pixels), unique=True))
    index = np.array(pixels, dtype=np.int64)
    batch = Batch("t", "s", 0, 8, index, None, False, "", rows(np.array(known, dtype=np.int64)))
    todo = index[batch.todo]
    assert set(todo) == set(pixels) - set(known)
    whole = batch.completed(rows(todo))
    assert whole["index"].tolist() == pixels
    assert (whole["llh"] == index).all()
