"""Sky maps from FITS files."""

from __future__ import annotations

import gzip
import io
import tracemalloc

import numpy as np
import pytest
from astropy.io import fits

from scanner.maps import healpix
from scanner.maps.level_sets import default_levels
from scanner.maps.products import flat_fits, multiorder_fits
from scanner.maps.result import ScanResult
from scanner.maps.skymap import SkyMap
from server.desk.common import fits_files, fits_streams
from server.desk.maps.skymaps import of_fits
from server.desk.maps.tiles import SkymapError, Tiles
from tests.support.scans import made_up_map


@pytest.fixture(scope="module")
def result() -> ScanResult:
    return ScanResult(made_up_map("4:0,16:12"), complete=True)


@pytest.fixture(scope="module")
def expected(result: ScanResult) -> Tiles:
    return Tiles.of_scan(SkyMap.from_results(result.pixels), default_levels(""))


@pytest.mark.parametrize("packed", [False, True])
def test_multiorder_file(result: ScanResult, expected: Tiles, packed: bool) -> None:
    data = multiorder_fits(result)
    tiles = of_fits(gzip.compress(data) if packed else data)
    has_some = tiles.density > 0
    assert np.array_equal(tiles.uniq[has_some], expected.uniq[expected.density > 0])
    assert tiles.density[has_some] == pytest.approx(expected.density[expected.density > 0])


def test_flat_file(result: ScanResult, expected: Tiles) -> None:
    tiles = of_fits(flat_fits(result, 16))
    wanted = np.zeros(12 * 16**2)
    order, nested = healpix.from_uniq(expected.uniq)
    shares = zip(order.tolist(), nested.tolist(), expected.probability.tolist(), strict=True)
    for depth, pixel, share in shares:
        if depth >= 4:
            wanted[pixel >> 2 * (depth - 4)] += share
        else:
            size = 4 ** (4 - depth)
            wanted[pixel * size:(pixel + 1) * size] += share / size
    _, found = healpix.from_uniq(tiles.uniq)
    assert tiles.probability == pytest.approx(wanted[found], rel=1e-5)
    assert wanted[found].sum() == pytest.approx(1)


def _file(**columns: np.ndarray) -> bytes:
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, "K" if array.dtype.kind == "i" else "D", array=array)
         for name, array in columns.items()])
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(file)
    return file.getvalue()


@pytest.mark.parametrize(("data", "reason"), [
    (b"", "skymap"), (b"no file", "skymap"), (b"\x1f\x8b broken", "skymap"),
    (_file(UNIQ=np.array([4])), "no column"), (_file(FLUX=np.array([4.0])), "no column"),
    (_file(PROB=np.ones(11)), "12 nside"), (_file(PROB=np.zeros(12)), "skymap|uniq"),
    (_file(PROB=np.ones(108)), "power of two"),
])  # fmt: skip
def test_files_that_are_no_map(data: bytes, reason: str) -> None:
    with pytest.raises(SkymapError, match=reason):
        of_fits(data)


def test_a_bomb_is_given_up_at_its_first_block(monkeypatch: pytest.MonkeyPatch) -> None:
    data = gzip.compress(bytes(60 << 20))
    tracemalloc.start()
    with pytest.raises(SkymapError, match="no header where one must be"):
        of_fits(data)
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()
    monkeypatch.setattr(fits_streams, "MOST_STREAMED", 10_000)
    with pytest.raises(SkymapError, match="at most 10000 are read"):
        of_fits(gzip.compress(_file(PROB=np.ones(12 * 16**2))))


def test_a_multiorder_file_must_not_grow_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits_files, "MOST_BYTES", 1000)
    with pytest.raises(SkymapError, match="more than 1000 bytes"):
        of_fits(gzip.compress(_file(UNIQ=np.array([4]), PROBDENSITY=np.ones(1))))
