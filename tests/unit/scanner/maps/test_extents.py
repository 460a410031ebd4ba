"""How far regions reach from the best fit, as circulars write it."""

from __future__ import annotations

import numpy as np
import pytest

from scanner.maps.extents import extent
from scanner.maps.level_sets import level_set
from scanner.maps.posterior import Posterior
from tests.unit.scanner.maps.test_posterior import smooth_map

RADIUS = np.sqrt(4.61)  # of the 90 % region by Wilks, in units of the half axes


@pytest.mark.parametrize("centre", [(210.0, 0.0), (0.02, 40.0), (359.98, -60.0)])
def test_of_an_ellipse(centre: tuple[float, float]) -> None:
    skymap = smooth_map(128, 1.0, 0.5, centre=centre)
    best = skymap.best_fit
    found = extent(Posterior.of(skymap, level_set("wilks")), 0.9, best)
    assert found.ra_plus is not None
    assert found.ra_minus is not None
    wide = RADIUS * 1.0 / np.cos(np.radians(centre[1]))
    assert found.ra_plus + found.ra_minus == pytest.approx(2 * wide, rel=0.1)
    assert found.dec_plus + found.dec_minus == pytest.approx(2 * RADIUS * 0.5, rel=0.1)
    inner = extent(Posterior.of(skymap, level_set("wilks")), 0.5, best)
    assert inner.dec_plus < found.dec_plus


@pytest.mark.parametrize("sign", [1, -1])
def test_around_a_pole_no_right_ascension_is_excluded(sign: int) -> None:
    skymap = smooth_map(64, 1.5, 1.5, centre=(80.0, sign * 89.5))
    found = extent(Posterior.of(skymap, level_set("wilks")), 0.9, skymap.best_fit)
    assert (found.ra_plus, found.ra_minus) == (None, None)
    near, far = (found.dec_plus, found.dec_minus) if sign > 0 else (found.dec_minus, found.dec_plus)
    assert near == pytest.approx(90 - abs(skymap.best_fit.dec_deg))
    assert far == pytest.approx(RADIUS * 1.5, rel=0.35)
