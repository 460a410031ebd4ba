"""What a caller may rely on: minima, independence of batches, seeds, names and errors."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from scanner.common.errors import EventError
from scanner.events.event import Event
from scanner.machine.entry import label_of
from scanner.machine.keeping import find
from scanner.recos.recos import ALIASES, FITS, PIXEL_DTYPE, RECOS, UnknownReco, find_reco, warm_up
from scanner.recos.track.fit import frame_of
from scanner.recos.track.hits import TrackHits, first_hits
from scanner.recos.track.likelihood import SIGMA, evaluate
from scanner.recos.track.paths import Frame
from scanner.recos.track.reco import TrackMPE, tables


def _directions(event: Event, n: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Directions around the truth, and some anywhere."""
    rng, m = np.random.default_rng(5), n // 2
    assert event.truth is not None
    zenith = np.append(event.truth.zenith + rng.normal(0, 0.01, m), np.arccos(rng.uniform(-1, 1, m)))
    return zenith, np.append(event.truth.azimuth + rng.normal(0, 0.01, m), rng.uniform(0, 6, m))


def _simplex(hits: TrackHits, zenith: float, azimuth: float) -> float:
    """The smallest −ln L that a simplex finds from many starts."""
    frame, best = Frame(*frame_of(zenith, azimuth)), np.inf
    for offset in ((0, 0), (60, 0), (-60, 0), (0, 60), (0, -60)):
        for time in (-300.0, 0.0, 300.0, 800.0):
            start = np.array([*offset, time])
            simplex = start + np.vstack([np.zeros(3), np.diag([30.0, 30.0, 50.0])])
            fit = minimize(lambda x: evaluate(hits.doms, tables(), frame, *x, SIGMA).llh, start,
                           method="Nelder-Mead", options={"initial_simplex": simplex})
            best = min(best, fit.fun)
    return best - hits.padding_llh


def test_finds_the_minimum_that_many_simplexes_find(dim_track: Event) -> None:
    reco = TrackMPE()
    hits = reco.prepare(dim_track)
    zenith, azimuth = _directions(dim_track, 6)
    pixels = reco.reconstruct(hits, zenith[:3], azimuth[:3])
    expected = [_simplex(hits, *direction) for direction in zip(zenith[:3], azimuth[:3], strict=True)]
    assert pixels["llh"] == pytest.approx(expected, abs=1e-2)


def test_a_pixel_does_not_depend_on_its_batch(dim_track: Event) -> None:
    reco = TrackMPE()
    hits = reco.prepare(dim_track)
    zenith, azimuth = _directions(dim_track)
    together = reco.reconstruct(hits, zenith, azimuth)
    again = reco.reconstruct(reco.prepare(dim_track), zenith[::-1], azimuth[::-1])[::-1]
    single = np.concatenate([reco.reconstruct(hits, z, a) for z, a in zip(zenith, azimuth, strict=True)])
    assert together.tobytes() == again.tobytes() == single.tobytes()
    refined = reco.reconstruct(hits, zenith + 1e-3, azimuth, together)
    halves = [reco.reconstruct(hits, zenith[half] + 1e-3, azimuth[half], together[half])
              for half in (slice(0, 5), slice(5, None))]
    assert refined.tobytes() == np.concatenate(halves).tobytes()


def test_rows_are_complete(dim_track: Event) -> None:
    reco = TrackMPE()
    pixels = reco.reconstruct(reco.prepare(dim_track), *_directions(dim_track))
    assert pixels.dtype == PIXEL_DTYPE
    assert (pixels["index"] == -1).all()
    assert np.isnan(pixels["E_in"]).all()
    assert np.isnan(pixels["E_tot"]).all()
    for name in ("llh", "X", "Y", "Z", "T"):
        assert np.isfinite(pixels[name]).all()


def test_a_seed_is_used_and_a_useless_one_ignored(dim_track: Event) -> None:
    reco = TrackMPE()
    hits = reco.prepare(dim_track)
    zenith, azimuth = _directions(dim_track)
    first = reco.reconstruct(hits, zenith, azimuth)
    seeded = reco.reconstruct(hits, zenith, azimuth, first)
    assert seeded["llh"] == pytest.approx(first["llh"], abs=1e-3)
    useless = first.copy()
    for name, value in (("X", np.nan), ("T", np.inf), ("Z", 1e300)):
        useless[name] = value
        assert reco.reconstruct(hits, zenith, azimuth, useless).tobytes() == first.tobytes()
        useless[name] = first[name]


def test_the_vertex_lies_on_the_track(bright_track: Event) -> None:
    reco, truth = TrackMPE(), bright_track.truth
    assert truth is not None
    row = reco.reconstruct(reco.prepare(bright_track), np.array([truth.zenith]), np.array([truth.azimuth]))[0]
    flight = np.array(frame_of(truth.zenith, truth.azimuth)[:3])
    offset = np.array([row["X"] - truth.x, row["Y"] - truth.y, row["Z"] - truth.z])
    along = offset @ flight
    assert np.linalg.norm(offset - along * flight) < 3.0
    assert row["T"] - truth.time - along / 0.299792458 == pytest.approx(0.0, abs=15.0)


def test_too_few_modules_are_refused(dim_track: Event) -> None:
    one_string = dim_track.cleaned.select(np.arange(2))
    with pytest.raises(EventError, match=r"at least 4 modules.*has [12]"):
        first_hits(one_string)
    with pytest.raises(EventError, match="has 0"):
        first_hits(dim_track.cleaned.select(np.zeros(len(dim_track.cleaned), dtype=bool)))


def test_names_are_known_by_name_and_alias() -> None:
    assert find_reco("track_mpe") is RECOS["track_mpe"]
    for alias, name in ALIASES.items():
        assert find_reco(alias) is RECOS[name]
    for name, reco in RECOS.items():
        assert reco.name == name
        assert reco.description
        assert reco.cost


def test_an_unknown_name_is_told_its_neighbour() -> None:
    with pytest.raises(UnknownReco, match="did you mean 'track_mpe'"):
        find_reco("track_mpi")


def test_warming_up_runs_every_reconstruction() -> None:
    for name in RECOS:
        warm_up(name)
    assert all(find(label_of(name)) for name in FITS)
