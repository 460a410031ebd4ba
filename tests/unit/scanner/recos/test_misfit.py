"""−ln L of events that a track explains badly: what counts less, and what stays."""

from __future__ import annotations

import numpy as np
import pytest

from scanner.events.event import Event
from scanner.recos.track.hits import TrackHits
from scanner.recos.track.misfit import MOST, SCALE, usual_llh, widened
from scanner.recos.track.reco import Track


def test_what_is_explained_as_usual_counts_as_it_is() -> None:
    llh = 100 * np.array([5.0, 5.5, 6.0])
    assert widened(llh, 100, 6.0) == pytest.approx(llh)


@pytest.mark.parametrize(("excess", "share"), [(0.0, 1.0), (SCALE, 0.5), (2 * SCALE, 1 / 3), (1.0, 1 / MOST),
                                               (5.0, 1 / MOST)])
def test_differences_count_less_the_worse_the_event_is_explained(excess: float, share: float) -> None:
    here, there = widened(100 * (6.0 + excess + np.array([0.0, 1e-6])), 100, 6.0)
    assert there - here == pytest.approx(1e-4 * share, rel=1e-3)


def test_best_fits_stay_where_they_are() -> None:
    llh = 30 * np.linspace(4.0, 14.0, 2000)
    assert (np.diff(widened(llh, 30, 6.3)) > 0.0).all()


def test_few_modules_still_exclude_what_explains_nothing() -> None:
    """Eight modules in which all is noise (13.8 each) against a usual fit: outside every region."""
    usual = usual_llh(np.full(8, 2.0))
    best, noise = widened(8 * np.array([usual, 13.8]), 8, usual)
    assert 2 * (noise - best) > 30.0


def test_more_charge_is_explained_better_and_more_modules_worse() -> None:
    assert usual_llh(np.full(100, 5.0)) < usual_llh(np.full(100, 1.0)) < usual_llh(np.full(300, 1.0))


def test_the_track_fit_tells_the_widened_value(bright_track: Event) -> None:
    """The same map as of an event that is explained as usual, bent by its excess."""
    reco = Track()
    hits = reco.prepare(bright_track)
    truth = bright_track.truth
    assert truth is not None
    zenith, azimuth = truth.zenith + np.array([0.0, 0.003, 0.02]), np.full(3, truth.azimuth)
    told = reco.reconstruct(hits, zenith, azimuth)["llh"]
    easy = TrackHits(**{**vars(hits), "usual": 99.0})
    plain = reco.reconstruct(easy, zenith, azimuth)["llh"]
    assert told == pytest.approx(widened(plain, hits.n_hit, hits.usual))
    assert np.argmin(told) == np.argmin(plain)
