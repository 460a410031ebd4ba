"""Directions: against astropy, there and back, and at the poles."""

from __future__ import annotations

import astropy.units as u
import healpy
import numpy as np
import pytest
from astropy.coordinates import AltAz, EarthLocation, SkyCoord
from astropy.time import Time
from astropy.utils import iers
from hypothesis import given
from hypothesis import strategies as st

from scanner.events.directions import detector_to_icrs, icrs_to_detector, pixel_directions, ring_centres

MJD = 59_723.32051140454
mjds = st.floats(53_500, 62_000)


def unit(polar: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    return np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)])


def no_earth_orientation(mjd: float) -> iers.IERS:
    """A table in which UT1 is UTC and the pole rests."""
    days = np.floor(mjd) + np.arange(-3, 4)
    zero = np.zeros(len(days))
    return iers.IERS(
        {"MJD": days * u.d, "UT1_UTC": zero * u.s, "PM_x": zero * u.arcsec, "PM_y": zero * u.arcsec}
    )


@pytest.mark.parametrize("mjd", [55_000.3, MJD, 60_280.714])
def test_agreement_with_astropy(mjd: float) -> None:
    random = np.random.default_rng(3)
    ra, dec = random.uniform(0, 2 * np.pi, 500), np.arcsin(random.uniform(-1, 1, 500))
    site = EarthLocation.from_geodetic(-62.6081 * u.deg, -89.9944 * u.deg, 0 * u.m)
    with (
        iers.earth_orientation_table.set(no_earth_orientation(mjd)),
        iers.conf.set_temp("auto_download", False),
    ):
        local = SkyCoord(ra * u.rad, dec * u.rad).transform_to(
            AltAz(obstime=Time(mjd, format="mjd"), location=site)
        )
    theirs = unit(np.pi / 2 - local.alt.rad, np.pi / 2 - local.az.rad + np.radians(62.6081))
    assert np.abs(unit(*icrs_to_detector(ra, dec, mjd)) - theirs).max() < 1e-9


def test_a_known_direction() -> None:
    """The zenith at the Pole is the southern celestial pole of date, which precesses by 0.0056° a year."""
    _, dec = detector_to_icrs(0.0, 0.0, MJD)
    assert np.degrees(dec) == pytest.approx(-90 + np.hypot(0.0056 * 22.4, 0.0056), abs=0.02)


@given(st.floats(0, 2 * np.pi), st.floats(-np.pi / 2, np.pi / 2), mjds)
def test_from_the_sky_and_back(ra: float, dec: float, mjd: float) -> None:
    zenith, azimuth = icrs_to_detector(ra, dec, mjd)
    assert 0 <= zenith <= np.pi
    assert 0 <= azimuth < 2 * np.pi
    back_ra, back_dec = detector_to_icrs(zenith, azimuth, mjd)
    assert 0 <= back_ra < 2 * np.pi
    assert np.abs(unit(np.pi / 2 - back_dec, back_ra) - unit(np.pi / 2 - dec, ra)).max() < 1e-9


@given(st.floats(0, np.pi), st.floats(0, 2 * np.pi), mjds)
def test_from_the_detector_and_back(zenith: float, azimuth: float, mjd: float) -> None:
    back = icrs_to_detector(*detector_to_icrs(zenith, azimuth, mjd), mjd)
    assert np.abs(unit(*back) - unit(zenith, azimuth)).max() < 1e-9


@pytest.mark.parametrize("dec", [-np.pi / 2, np.pi / 2])
def test_the_poles_of_the_sky_have_every_right_ascension(dec: float) -> None:
    zenith, azimuth = icrs_to_detector(np.linspace(0, 2 * np.pi, 9), dec, MJD)
    directions = unit(zenith, azimuth)
    assert np.abs(directions - directions[:, :1]).max() < 1e-12


def test_right_ascension_closes_at_360_degrees() -> None:
    zenith, azimuth = icrs_to_detector([0.0, 2 * np.pi, 4 * np.pi], [0.4] * 3, MJD)
    directions = unit(zenith, azimuth)
    assert np.abs(directions - directions[:, :1]).max() < 1e-12


@given(st.integers(0, 9).map(lambda order: 2**order), st.data())
def test_pixels_are_where_healpix_has_them(nside: int, data: st.DataObject) -> None:
    pixels = data.draw(st.lists(st.integers(0, 12 * nside**2 - 1), min_size=1, max_size=20))
    zenith, azimuth = pixel_directions(nside, pixels, MJD)
    ra, dec = detector_to_icrs(zenith, azimuth, MJD)
    assert healpy.ang2pix(nside, np.pi / 2 - dec, ra).tolist() == pixels


def test_the_whole_sky_in_one_call() -> None:
    nside = 64
    zenith, azimuth = pixel_directions(nside, np.arange(12 * nside**2), MJD)
    assert zenith.shape == azimuth.shape == (12 * nside**2,)
    assert np.abs(unit(zenith, azimuth).mean(axis=1)).max() < 1e-4  # aberration crowds one side


@pytest.mark.parametrize("mjd", [float("nan"), 0.0, 1e6])
def test_times_without_utc_are_refused(mjd: float) -> None:
    with pytest.raises(ValueError, match="MJD"):
        icrs_to_detector(0.0, 0.0, mjd)


def test_years_without_announced_leap_seconds_are_taken() -> None:
    zenith, azimuth = icrs_to_detector(1.0, 0.5, 80_000.0)
    assert np.isfinite([zenith, azimuth]).all()


def test_pixels_that_do_not_exist_are_refused() -> None:
    for pixel in (-1, 12 * 16):
        with pytest.raises(ValueError, match="pixels 0 to 191"):
            pixel_directions(4, [pixel], MJD)
    for nside in (0, 3, 2**30):
        with pytest.raises(ValueError, match="power of two"):
            pixel_directions(nside, [0], MJD)


@pytest.mark.parametrize("order", range(30))
def test_centres_are_healpys_to_the_bit(order: int) -> None:
    """Whole rings of all kinds: poles, caps, where caps end, the equator, and pixels at random."""
    nside = 1 << order
    count = 12 * nside * nside
    near = np.arange(-300, 300)
    places = [near, near + 2 * nside * (nside - 1), near + 6 * nside * nside,
              near + count - 2 * nside * (nside - 1), near + count,
              np.random.default_rng(order).integers(0, count, 3000)]
    pixels = np.unique(np.clip(np.concatenate(places), 0, count - 1))
    for ours, theirs in zip(ring_centres(nside, pixels), healpy.pix2ang(nside, pixels), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize(("nside", "pixels", "wrong"), [
    (3, [0], ValueError), (0, [0], ValueError), (8, [768], ValueError), (8, [-1], ValueError),
    ("8", [0], TypeError)])
def test_what_is_no_pixel_is_refused(nside: int, pixels: list[int], wrong: type[Exception]) -> None:
    with pytest.raises(wrong):
        pixel_directions(nside, pixels, MJD)
