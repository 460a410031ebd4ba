"""Flat sky maps: large ones, partial ones, and pixels without a value."""

from __future__ import annotations

import gzip
import io
import tracemalloc

import healpy
import numpy as np
import pytest
from astropy.io import fits

from scanner.maps import healpix
from server.desk.maps import flat_fits
from server.desk.maps.skymaps import of_fits
from server.desk.maps.tiles import SkymapError
from tests.support.data import TEST_DATA

GRB = TEST_DATA / "data" / "notices" / "GRB220617A_IPN_map_hpx.fits.gz"
PIXELS = 12 * 16**2


def packed(**header: object) -> bytes:
    columns = {name: header.pop(name) for name in list(header) if isinstance(header[name], np.ndarray)}
    forms = {"i": "K", "f": "D"}
    table = fits.BinTableHDU.from_columns(
        [fits.Column(name, forms[array.dtype.kind], array=array)  # type: ignore[attr-defined]
         for name, array in columns.items()])
    table.header.update(header)
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(np.zeros((3, 5))), table]).writeto(file)
    return gzip.compress(file.getvalue())


def values() -> np.ndarray:
    return np.random.default_rng(2).uniform(1, 2, PIXELS)


def test_partial_map_is_the_whole_one_where_it_is() -> None:
    whole, some = values(), np.random.default_rng(1).permutation(PIXELS)[:500]
    rest = np.zeros(PIXELS)
    rest[some] = whole[some]
    expected = of_fits(packed(PROB=rest))
    found = of_fits(packed(PIXEL=some, PROB=whole[some], INDXSCHM="EXPLICIT", NSIDE=16))
    assert np.array_equal(found.uniq, expected.uniq)
    assert found.density == pytest.approx(expected.density)


def test_maps_of_healpy_partial_and_whole(tmp_path: object) -> None:
    whole = np.full(PIXELS, healpy.UNSEEN)
    whole[100:300] = values()[100:300]
    files = []
    for partial in (True, False):
        path = f"{tmp_path}/{partial}.fits"
        healpy.write_map(path, whole, partial=partial, column_names=["PROB"], dtype=np.float32)
        with open(path, "rb") as file:
            files.append(of_fits(file.read()))
    assert np.array_equal(files[0].uniq, files[1].uniq)
    assert sorted(healpix.nest_to_ring(16, healpix.from_uniq(files[0].uniq)[1])) == list(range(100, 300))


@pytest.mark.parametrize("mark", [np.nan, -1.6375e30, 0.0])
def test_pixels_without_a_value_are_no_part(mark: float) -> None:
    some = values()
    some[:1000] = mark
    found = of_fits(packed(PROB=some, ORDERING="NESTED"))
    assert len(found) == PIXELS - 1000
    assert found.probability.sum() == pytest.approx(1)


@pytest.mark.parametrize(("header", "reason"), [
    ({"PROB": -values()}, "not negative"), ({"PROB": values() + np.inf}, "finite"),
    ({"PROB": values(), "INDXSCHM": "EXPLICIT"}, "no column PIXEL"),
    ({"PROB": values(), "PIXEL": np.arange(PIXELS)}, "NSIDE"),
    ({"PROB": values(), "PIXEL": np.arange(PIXELS), "NSIDE": 8}, "from 0 to 767"),
    ({"PROB": values(), "PIXEL": np.arange(PIXELS), "NSIDE": 16384}, "up to nside 8192"),
    ({"PROB": values(), "PIXEL": np.zeros(PIXELS, int), "NSIDE": 16}, "overlap"),
    ({"PROB": values(), "ORDERING": "NUNIQ"}, "ORDERING"), ({"PROB": np.full(PIXELS, np.nan)}, "uniq"),
])  # fmt: skip
def test_maps_that_are_none(header: dict[str, object], reason: str) -> None:
    with pytest.raises(SkymapError, match=reason):
        of_fits(packed(**header))


def test_too_many_pixels_are_kept_where_the_map_is_densest(monkeypatch: pytest.MonkeyPatch) -> None:
    nside, axis = 512, healpix.unit_vectors(120.0, 33.0)
    nested = np.arange(healpix.npix(nside))
    apart = np.linalg.norm(healpix.vectors(nside, nested, nested=True) - axis, axis=1)
    data = packed(PROB=np.exp(-0.5 * (apart / np.radians(3)) ** 2) + 1e-12, ORDERING="NESTED")
    monkeypatch.setattr(flat_fits, "MOST_PIXELS", 20_000)
    found = of_fits(data)
    assert len(found) <= 20_000 + 12 * 4**8
    assert found.area.sum() == pytest.approx(healpix.FULL_SKY_DEG2)
    edge = 2 * np.pi * 9 * -np.log(0.1)  # of a Gaussian of 3 degrees, flat
    assert found.area[found.chosen(0.9)].sum() == pytest.approx(edge, rel=0.01)
    assert healpix.from_uniq(found.uniq[[np.argmax(found.density)]])[0] == 9


@pytest.mark.skipif(not GRB.exists(), reason=f"no real notices: {GRB}")
def test_a_real_map_of_nside_2048() -> None:
    data = GRB.read_bytes()
    tracemalloc.start()
    found = of_fits(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (len(found), found.order) == (1_207_984, 11)
    assert peak < 192 << 20  # the file alone unpacks to 201 MB
    ra, dec = found.best
    from_gbm = np.arccos(healpix.unit_vectors(ra, dec) @ healpix.unit_vectors(196.5516, -5.0812))
    assert np.degrees(from_gbm) == pytest.approx(44.3851, abs=0.05)  # the annulus of its header


def test_nside_8192_is_read_in_little_memory() -> None:
    """One bright pixel in 3.2 GB of zeros would take long here: a partial map has the same numbers."""
    nside, some = 8192, np.array([5, 400_000_000, 805_306_367])
    found = of_fits(packed(PIXEL=some, PROB=np.array([1.0, 2.0, 1.0]), NSIDE=nside))
    order, nested = healpix.from_uniq(found.uniq)
    assert sorted(healpix.nest_to_ring(nside, nested)) == some.tolist()
    assert set(order.tolist()) == {13}
