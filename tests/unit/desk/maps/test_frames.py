"""Sky maps in galactic and ecliptic coordinates."""

from __future__ import annotations

import io

import healpy
import numpy as np
import pytest
from astropy import units
from astropy.coordinates import SkyCoord
from astropy.io import fits

from scanner.maps import healpix
from server.desk.maps import frames
from server.desk.maps.skymaps import of_fits
from server.desk.maps.tiles import SkymapError, Tiles

ASTROPY = {"G": "galactic", "E": "barycentricmeanecliptic", "C": "icrs"}
PLACES = [(266.4, -28.9), (0.01, 89.0), (77.4, 5.7)]


def multiorder(tiles: Tiles, frame: str | None) -> bytes:
    return written([fits.Column("UNIQ", "K", array=tiles.uniq),
                    fits.Column("PROBDENSITY", "D", array=tiles.density)], frame)


def flat(tiles: Tiles, frame: str | None) -> bytes:
    order, nested = healpix.from_uniq(tiles.uniq)
    assert len(set(order.tolist())) == 1
    whole = np.zeros(12 * 4**int(order[0]))
    whole[nested] = tiles.probability
    return written([fits.Column("PROB", "D", array=whole)], frame, ORDERING="NESTED")


def written(columns: list[fits.Column], frame: str | None, **more: str) -> bytes:
    table = fits.BinTableHDU.from_columns(columns)
    table.header.update(more)
    if frame is not None:
        table.header["COORDSYS"] = frame
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(file)
    return file.getvalue()


def blob_in(frame: str, ra: float, dec: float) -> Tiles:
    """A Gaussian of 4 degrees around an equatorial direction, in a frame, as far as it is worth a pixel."""
    there = SkyCoord(ra, dec, unit="deg").transform_to(ASTROPY[frame]).spherical
    axis = healpix.unit_vectors(float(there.lon.deg), float(there.lat.deg))
    nested = np.arange(12 * 4**6)
    apart = np.linalg.norm(healpix.vectors(64, nested, nested=True) - axis, axis=1)
    near = apart < np.radians(20)
    return Tiles.checked(healpix.to_uniq(6, nested[near]), np.exp(-0.5 * (apart[near] / np.radians(4)) ** 2))


@pytest.mark.parametrize("frame", ["G", "E", "C"])
@pytest.mark.parametrize(("ra", "dec"), PLACES)
@pytest.mark.parametrize("form", [multiorder, flat])
def test_a_direction_that_is_known(frame: str, ra: float, dec: float, form: object) -> None:
    sent = blob_in(frame, ra, dec)
    found = of_fits(form(sent, frame))  # type: ignore[operator]
    apart = SkyCoord(*found.best, unit="deg").separation(SkyCoord(ra, dec, unit="deg"))
    assert apart < 1.3 * units.deg  # a pixel has 0.92
    for level in (0.5, 0.9):
        area = sent.area[sent.chosen(level)].sum()
        assert found.area[found.chosen(level)].sum() == pytest.approx(area, rel=0.02)


@pytest.mark.parametrize("letter", ["G", "E"])
def test_densities_are_those_that_healpy_finds(letter: str) -> None:
    generator = np.random.default_rng(3)
    smooth = healpy.smoothing(generator.normal(size=12 * 32**2), fwhm=0.3)
    there = np.exp(smooth / smooth.std())
    found = of_fits(written([fits.Column("PROBABILITY", "D", array=there)], letter, ORDERING="RING"))
    order, nested = healpix.from_uniq(found.uniq)
    places = np.concatenate([healpix.vectors(1 << depth, nested[order == depth], nested=True)
                             for depth in np.unique(order).tolist()])
    densities = np.concatenate([found.density[order == depth] for depth in np.unique(order).tolist()])
    back = healpy.Rotator(coord=["C", letter])(places.T)
    expected = there[healpy.vec2pix(32, *back)] / (there.sum() * healpy.nside2pixarea(32))
    agree = np.isclose(densities, expected, rtol=0.002)
    assert agree.mean() > 0.999  # a centre on an edge may be on either side of it
    assert found.probability.sum() == pytest.approx(1)


def test_tiles_of_many_orders_and_distances() -> None:
    generator = np.random.default_rng(5)
    fine, rest = np.arange(100 * 64, 108 * 64), np.setdiff1d(np.arange(12 * 4**3), np.arange(100, 108))
    density = np.concatenate([generator.uniform(1, 9, len(fine)), generator.uniform(0, 0.1, len(rest))])
    tiles = Tiles.checked(np.concatenate([healpix.to_uniq(6, fine), healpix.to_uniq(3, rest)]), density)
    far = Tiles(tiles.uniq, tiles.density, {"distmu": tiles.density * 2})
    found = frames.turned(far, "G")
    assert found.area.sum() == pytest.approx(healpix.FULL_SKY_DEG2)
    assert found.area[found.chosen(0.9)].sum() == pytest.approx(far.area[far.chosen(0.9)].sum(), rel=0.02)
    assert found.distance["distmu"] == pytest.approx(found.density * 2, rel=0.01)


def test_what_would_lose_precision_is_refused() -> None:
    tiles = Tiles.checked([healpix.to_uniq(29, 12345)], [1.0])
    with pytest.raises(SkymapError, match="COORDSYS G: the map cannot be turned"):
        of_fits(multiorder(tiles, "G"))


def test_too_many_tiles_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MOST_TILES", 1000)
    with pytest.raises(SkymapError, match="too many tiles"):
        frames.turned(blob_in("E", 10.0, 10.0), "E")


@pytest.mark.parametrize(("text", "frame"), [
    ("", "C"), ("C", "C"), ("Celestial", "C"), ("EQUATORIAL", "C"), ("ICRS", "C"), ("Q", "C"), ("G ", "G"),
    ("galactic", "G"), ("e", "E"), ("Ecliptic", "E"),
])  # fmt: skip
def test_frames_have_more_than_one_name(text: str, frame: str) -> None:
    assert frames.frame_of(text) == frame


def test_other_frames_are_refused() -> None:
    with pytest.raises(SkymapError, match="COORDSYS must be C, G or E, not 'L'"):
        of_fits(multiorder(blob_in("C", 1.0, 1.0), "L"))
