"""The tilt of the ice between its nodes, against SciPy."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import RegularGridInterpolator

from config.ice import ENERGY_ICE
from scanner.light import ice


def test_heights_are_those_of_scipys_interpolation() -> None:
    place = np.random.default_rng(1).uniform(-900.0, 900.0, (2000, 3))
    nodes = [ice.TILT_EDGE + ice.TILT_STEP * np.arange(count) for count in ice.TILT_SHAPE[:2]]
    nodes.append(ice.TILT_BOTTOM + ice.TILT_HEIGHT * np.arange(ice.TILT_SHAPE[2]))
    inside = np.stack([np.clip(place[:, k], axis[0], axis[-1]) for k, axis in enumerate(nodes)], axis=1)
    rise = RegularGridInterpolator(nodes, ice.tilt_table(ENERGY_ICE))(inside)
    assert np.array_equal(ice.levelled(place, ENERGY_ICE), place[:, 2] - rise)


def test_level_ice_is_where_it_is() -> None:
    place = np.random.default_rng(1).uniform(-900.0, 900.0, (20, 3))
    assert np.array_equal(ice.levelled(place, "spice_mie"), place[:, 2])
