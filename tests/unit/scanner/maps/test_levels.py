"""Choice of pixels against a full-sky implementation of the same rule."""

from __future__ import annotations

import contextlib
from pathlib import Path

import healpy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.maps.levels import (
    Level,
    Progression,
    ProgressionError,
    best_pixel,
    estimate_pixels,
    first_pixels,
    next_pixels,
    seeds_for,
)
from scanner.maps.result import PIXEL_DTYPE, ScanResult, nan_rows

Tables = dict[int, np.ndarray]


def table(nside: int, pixels: np.ndarray, peak: np.ndarray, width: float) -> np.ndarray:
    """Fits of a bowl in −ln L around the unit vector ``peak``."""
    rows = nan_rows(pixels)
    cosine = np.stack(healpy.pix2vec(nside, pixels), -1) @ peak
    rows["llh"] = np.square(np.arccos(np.clip(cosine, -1, 1)) / width)
    rows["X"] = pixels
    return rows


def on_whole_sky(progression: Progression, results: Tables) -> dict[int, set[int]]:
    """The rule written down naively: every pixel of every level, one distance each."""
    fits = [(row["llh"], nside, row["index"]) for nside in results for row in results[nside]
            if np.isfinite(row["llh"])]
    if not fits:
        return {}
    _, best_nside, best = min(fits)
    centre = np.array(healpy.pix2vec(best_nside, best))
    wanted = {}
    for level, finer in zip(progression.levels, progression.levels[1:], strict=False):
        if not len(results.get(level.nside, ())):
            continue
        radius = np.sqrt(finer.extension * healpy.nside2pixarea(level.nside) / np.pi)
        every = np.stack(healpy.pix2vec(level.nside, np.arange(12 * level.nside**2)), -1)
        near = np.flatnonzero(np.arccos(np.clip(every @ centre, -1, 1)) < radius)
        steps = (finer.nside // level.nside) ** 2
        nested = healpy.ring2nest(level.nside, near)[:, None] * steps + np.arange(steps)
        there = results.get(finer.nside, nan_rows(np.array([], dtype=int)))["index"]
        new = set(healpy.nest2ring(finer.nside, nested.ravel())) - set(there)
        if new:
            wanted[finer.nside] = new
    return wanted


@st.composite
def progressions(draw: st.DrawFn, deepest: int = 6) -> Progression:
    orders = sorted(draw(st.sets(st.integers(0, deepest), min_size=1, max_size=3)))
    extensions = [0, *(draw(st.integers(1, 30)) for _ in orders[1:])]
    return Progression(tuple(Level(1 << o, e) for o, e in zip(orders, extensions, strict=True)))


@st.composite
def directions(draw: st.DrawFn) -> np.ndarray:
    z = draw(st.one_of(st.sampled_from([1.0, -1.0, 2 / 3, 0.0]), st.floats(-1, 1)))
    phi = draw(st.one_of(st.sampled_from([0.0, np.pi / 2, 2 * np.pi - 1e-6]), st.floats(0, 2 * np.pi)))
    return np.array([np.sqrt(1 - z * z) * np.cos(phi), np.sqrt(1 - z * z) * np.sin(phi), z])


@settings(max_examples=60)
@given(progressions(), directions(), st.integers(0, 2**32 - 1))
def test_next_pixels_is_the_rule_on_the_whole_sky(
        progression: Progression, peak: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    results: Tables = {}
    for nside in progression.nsides:
        pixels = np.flatnonzero(rng.random(12 * nside**2) < rng.random())[:3000]
        results[nside] = table(nside, pixels, peak, 0.1)
        results[nside]["llh"][rng.random(len(pixels)) < 0.2] = np.nan
    wanted = next_pixels(progression, results)
    assert {nside: set(pixels) for nside, pixels in wanted.items()} == on_whole_sky(progression, results)
    assert all(np.array_equal(pixels, np.unique(pixels)) for pixels in wanted.values())


@settings(max_examples=25)
@given(progressions(5), directions())
def test_a_scan_closes_around_its_best_fit(progression: Progression, peak: np.ndarray) -> None:
    first = progression.levels[0].nside
    results = {first: table(first, first_pixels(progression), peak, 0.1)}
    rounds = 0
    while wanted := next_pixels(progression, results):
        rounds += 1
        assert rounds < 50
        for nside, pixels in wanted.items():
            old = results.get(nside, np.empty(0, PIXEL_DTYPE))
            assert not set(pixels) & set(old["index"])
            results[nside] = np.sort(np.concatenate([old, table(nside, pixels, peak, 0.1)]), order="index")
    # The finest pixel that holds the true peak was reached, and is the best fit.
    best = best_pixel(results)
    assert best is not None
    if all(level.extension >= 9 for level in progression.levels[1:]):
        finest = progression.nsides[-1]
        assert healpy.vec2pix(finest, *peak) in results[finest]["index"]


def test_known_pixels_are_not_asked_for_again() -> None:
    progression = Progression.parse("2:0,8:5")
    peak = np.array([0.0, 0.6, 0.8])
    results = {2: table(2, first_pixels(progression), peak, 0.1)}
    wanted = next_pixels(progression, results)[8]
    rest = next_pixels(progression, results, known={8: wanted[::2]})
    assert np.array_equal(rest[8], wanted[1::2])
    assert next_pixels(progression, results, known={8: wanted}) == {}


def test_nothing_follows_from_failed_fits_alone() -> None:
    progression = Progression.parse("1:0,4:3")
    assert next_pixels(progression, {}) == {}
    assert next_pixels(progression, {1: nan_rows(np.arange(12))}) == {}
    assert best_pixel({1: nan_rows(np.arange(12))}) is None


def test_usual_progression_takes_the_usual_number_of_pixels() -> None:
    progression = Progression.parse("8:0,64:12,512:24")
    assert estimate_pixels(progression) == {8: 768, 64: 768, 512: 1536}
    peak = np.array(healpy.pix2vec(512, 1_400_000))
    results = {8: table(8, first_pixels(progression), peak, 0.01)}
    while wanted := next_pixels(progression, results):
        for nside, pixels in wanted.items():
            old = results.get(nside, np.empty(0, PIXEL_DTYPE))
            results[nside] = np.concatenate([old, table(nside, pixels, peak, 0.01)])
    assert 700 < len(results[64]) < 1600
    assert 1400 < len(results[512]) < 3200


def test_an_official_scan_is_closed_under_the_rule(reference_results: Path) -> None:
    [file] = reference_results.glob("*.npz")
    progression = Progression.parse("8:0,64:12,512:24")
    official = ScanResult.from_npz(file).pixels
    assert next_pixels(progression, official) == {}
    refined = next_pixels(progression, {8: official[8]})[64]
    assert set(refined) <= set(official[64]["index"])


def test_seeds_are_the_parents_and_then_theirs() -> None:
    progression = Progression.parse("1:0,4:3,8:3")
    peak = np.array([0.0, 0.6, 0.8])
    results = {1: table(1, np.arange(12), peak, 0.1), 4: table(4, np.arange(0, 192, 2), peak, 0.1)}
    results[1]["llh"][7] = np.nan
    pixels = np.arange(768)
    seeds = seeds_for(progression, 8, pixels, results)
    for pixel, seed in zip(pixels, seeds, strict=True):
        parent = healpy.nest2ring(4, healpy.ring2nest(8, pixel) >> 2)
        oldest = healpy.nest2ring(1, healpy.ring2nest(8, pixel) >> 6)
        if parent % 2 == 0:
            assert (seed["index"], seed["X"]) == (parent, parent)
        elif oldest != 7:
            assert (seed["index"], seed["X"]) == (oldest, oldest)
        else:
            assert seed["index"] == -1
            assert np.isnan(seed["X"])
    assert np.isnan(seeds_for(progression, 1, np.arange(12), results)["X"]).all()
    assert len(seeds_for(progression, 8, np.array([], dtype=int), results)) == 0
    with pytest.raises(ProgressionError, match="no level 16"):
        seeds_for(progression, 16, pixels, results)


@given(progressions())
def test_progression_round_trips(progression: Progression) -> None:
    assert Progression.parse(str(progression)) == progression
    assert Progression.parse(progression.as_dict()) == progression
    assert Progression.parse(dict(reversed(progression.as_dict().items()))) == progression


def test_progression_accepts_the_forms_of_a_request() -> None:
    expected = (Level(8, 0), Level(64, 12))
    for value in ({"8": 0, "64": 12}, {8: 0, 64: 12.0}, "8:0,64:12", " 8 : 0 , 64 : 12 ",
                  {"8": 12, "64": 12}):
        assert Progression.parse(value).levels == expected


@pytest.mark.parametrize(("value", "reason"), [
    ({}, "at least one level"),
    ("", "nside:extension"),
    ("8", "nside:extension"),
    (["8:0"], "must be an object"),
    (None, "must be an object"),
    ({"7": 0}, "7 is not a power of two"),
    ({"0": 0}, "0 is not a power of two"),
    ({"32768": 0}, "32768 is not a power of two from 1 to 16384"),
    ({"eight": 0}, "'eight' must be an integer"),
    ({"8": "x"}, "'x' of nside 8 must be an integer"),
    ({"8": None}, "must be an integer"),
    ({"8": True}, "must be an integer"),
    ({"8": 0.5}, "must be an integer"),
    ({"8": float("nan")}, "must be an integer"),
    ({"8": 1}, "extension of the first nside, 8, must be 0"),
    ({"8": 0, "64": 0}, "extension of nside 64 must be above 0"),
    ({"8": 0, "64": -3}, "extension of nside 64 must be above 0"),
    ("64:0,8:12", "must ascend, but 8 follows 64"),
    ("8:0,8:12", "must ascend, but 8 follows 8"),
    ({"8": 0, "08": 12}, "must ascend"),
    ({"8192": 0}, "805,306,368 pixels, more than"),
    ({"8": 0, "16384": 700}, "pixels, more than"),
])
def test_progression_says_what_is_wrong(value: object, reason: str) -> None:
    with pytest.raises(ProgressionError, match=reason) as caught:
        Progression.parse(value)  # type: ignore[arg-type]
    assert str(caught.value).startswith("nsides: ")


NUMBERS = st.integers() | st.floats() | st.none()


@given(st.text("0123456789:, x-") | st.dictionaries(st.text(), NUMBERS))
def test_parse_never_raises_anything_else(value: object) -> None:
    with contextlib.suppress(ProgressionError):
        Progression.parse(value)  # type: ignore[arg-type]
