"""Pixels and results as bytes and as lists."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.maps.result import PIXEL_DTYPE, nan_rows
from scanner.maps.rows import rows_from_table
from server.common.errors import BadRequest
from server.scans.pixels.tables import joined, pack, pixels_of, rows_of, seeds_json, table_from_rows

NUMBERS = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-10**9, 10**9)


def rows_for(pixels: list[int]) -> list[list[float | int | None]]:
    return [[pixel, float(pixel), None, 1, 2, 3.5, -4, 5] for pixel in pixels]


@given(st.lists(st.integers(0, 2**40), max_size=20))
def test_pixels_survive_the_database(pixels: list[int]) -> None:
    assert pixels_of(pack(np.array(pixels, dtype=np.int64))).tolist() == pixels


@given(st.lists(st.tuples(st.integers(0, 2**40), *[NUMBERS] * 7), min_size=1, max_size=10,
                unique_by=lambda row: row[0]))
def test_rows_survive_json_and_the_database(rows: list[tuple[int, ...]]) -> None:
    pixels = np.array([row[0] for row in rows])
    table = table_from_rows([list(row) for row in rows], pixels)
    assert table.dtype == PIXEL_DTYPE
    again = rows_of(pack(table))
    assert again.tobytes() == table.tobytes()
    assert table_from_rows(rows_from_table(again), pixels).tobytes() == table.tobytes()


def test_rows_may_come_in_any_order() -> None:
    pixels = np.array([5, 2, 9])
    table = table_from_rows(rows_for([9, 5, 2]), pixels)
    assert table["index"].tolist() == [5, 2, 9]
    assert np.isnan(table["E_in"]).all()


@pytest.mark.parametrize(("rows", "text"), [
    (rows_for([5]), "1 of 2 pixels are missing, such as 2"),
    (rows_for([5, 5]), "pixel 5 is not of this batch, or there twice"),
    (rows_for([5, 2, 7]), "pixel 7 is not of this batch"),
    ([[5, 1.0]], "must be [index, llh"),
    ([["5", *[1.0] * 7]], "must be [index, llh"),
    ([[5, "x", *[1.0] * 6]], "must be [index, llh"),
    ([[5, True, *[1.0] * 6]], "must be [index, llh"),
    ([[5.0, *[1.0] * 7]], "must be [index, llh"),
    ([[5, 10**400, *[1.0] * 6], [2, *[1.0] * 7]], "'rows': "),
])
def test_rows_that_are_not_the_batchs_are_refused(rows: list[list[object]], text: str) -> None:
    with pytest.raises(BadRequest) as caught:
        table_from_rows(rows, np.array([5, 2]))
    assert text in caught.value.reason


def test_a_pixel_without_a_seed_has_none() -> None:
    seeds = nan_rows(np.array([3, -1]))
    seeds["llh"][0] = 7.0
    assert seeds_json(seeds) == [[3, 7.0, None, None, None, None, None, None], None]


def test_tables_of_batches_become_one_per_nside() -> None:
    tables = [(8, nan_rows(np.array([5, 1]))), (2, nan_rows(np.array([3]))), (8, nan_rows(np.array([0])))]
    result = joined(tables)
    assert list(result) == [2, 8]
    assert result[8]["index"].tolist() == [0, 1, 5]
