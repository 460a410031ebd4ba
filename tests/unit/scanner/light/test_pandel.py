"""Arrival-time density: fast arithmetic, splines and tables against direct integrals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.common.compiled import kernel
from scanner.common.fastmath import fast_exp, fast_log, single_exp, single_log
from scanner.light.pandel import ASINH_W, LN_S, XI, cells, log_shape, log_survival, planes
from scanner.light.spline import coefficients, slope_weights, value_weights
from tests.unit.scanner.recos import oracle


@kernel
def _log(x):
    return fast_log(x)


@kernel
def _exp(x):
    return fast_exp(x)


@kernel
def _single_log(x):
    return single_log(np.float32(x))


@kernel
def _single_exp(x):
    return single_exp(np.float32(x))


@kernel
def _spline(c, k, f):
    v, s = value_weights(f), slope_weights(f)
    value = v[0] * c[k - 1] + v[1] * c[k] + v[2] * c[k + 1] + v[3] * c[k + 2]
    return value, s[0] * c[k - 1] + s[1] * c[k] + s[2] * c[k + 1] + s[3] * c[k + 2]


@settings(deadline=None)  # the first call compiles
@given(st.floats(1e-300, 1e300))
def test_fast_log_agrees_with_the_library(x: float) -> None:
    assert _log(x) == pytest.approx(np.log(x), rel=1e-13, abs=1e-13)


@settings(deadline=None)
@given(st.floats(-690, 690))
def test_fast_exp_agrees_with_the_library(x: float) -> None:
    assert _exp(x) == pytest.approx(np.exp(x), rel=1e-12)


@settings(deadline=None)
@given(st.floats(2.0**-120, 2.0**120, width=32))
def test_single_log_agrees_with_the_library(x: float) -> None:
    assert _single_log(x) == pytest.approx(np.log(x), rel=3e-7, abs=3e-7)


@settings(deadline=None)
@given(st.floats(-86, 86, width=32))
def test_single_exp_agrees_with_the_library(x: float) -> None:
    assert _single_exp(x) == pytest.approx(np.exp(x), rel=1e-6)


def test_a_spline_passes_through_its_nodes_and_follows_a_smooth_function_between_them() -> None:
    step = 0.1
    x = step * np.arange(60)
    c = coefficients(np.sin(x), axes=(0,))
    for k, f in ((10, 0.0), (20, 0.5), (30, 0.25), (45, 0.9)):
        value, slope = _spline(c, k, f)
        assert value == pytest.approx(np.sin(x[k] + f * step), abs=1e-6)
        assert slope / step == pytest.approx(np.cos(x[k] + f * step), abs=1e-4)


def test_cells_are_the_spline() -> None:
    c = coefficients(np.random.default_rng(1).normal(size=(9, 11)), axes=(0, 1))
    x, w, powers = 0.3, 0.8, np.arange(4)
    expected = np.array(value_weights.py_func(x)) @ c[3:7, 5:9] @ np.array(value_weights.py_func(w))
    cell = cells(c)[3, 5].reshape(4, 4)
    assert x**powers @ cell @ w**powers == pytest.approx(expected, abs=1e-6)


def test_planes_have_the_neighbours_in_s_side_by_side() -> None:
    table = np.arange(6.0 * 3 * 7).reshape(6, 3, 7)
    assert planes(table)[2, 1, 4].tolist() == table[2:6, 1, 4].tolist()
    assert planes(table).dtype == np.float32


@pytest.mark.parametrize("sigma", [6.0, 50.0])
@pytest.mark.parametrize(("xi", "rate"), [(0.08, 0.003), (0.5, 0.01), (1.0, 0.004), (4.0, 0.006), (25, 5e-3)])
@pytest.mark.parametrize("t", [-12.0, -1.0, 0.0, 3.0, 20.0, 150.0, 1500.0])
def test_density_and_survival_agree_with_quadrature(t: float, xi: float, rate: float, sigma: float) -> None:
    u, s = t / sigma, rate * sigma
    w, ln_xi, ln_s = np.array([u - s]), np.array([np.log(xi)]), np.array([np.log(s)])
    log_density = xi * np.log(s) + s * s / 2 - s * u + log_shape(w, ln_xi)[0, 0] - np.log(sigma)
    expected = oracle.density(t, xi, rate, sigma)
    if expected > 1e-25:
        assert log_density == pytest.approx(np.log(expected), abs=2e-3)
    survival = log_survival(w, ln_xi, ln_s)[0, 0, 0]
    assert survival == pytest.approx(np.log(oracle.survival(t, xi, rate, sigma)), abs=1e-5)


def test_survival_falls_and_its_slope_is_the_density() -> None:
    xi, s = np.array([np.log(2.0)]), np.array([np.log(0.03)])
    u = np.linspace(-5, 200, 20001)
    w = u - 0.03
    log_sf = log_survival(w, xi, s)[0, 0]
    density = np.exp(2.0 * np.log(0.03) + 0.03**2 / 2 - 0.03 * u + log_shape(w, xi)[0])
    assert (np.diff(log_sf) <= 1e-12).all()
    assert -np.gradient(np.exp(log_sf), u) == pytest.approx(density, abs=2e-5)


def test_axes_reach_beyond_what_they_are_used_for() -> None:
    for axis in (ASINH_W, XI, LN_S):
        points = axis.points
        assert len(points) == axis.nodes
        assert np.diff(points) == pytest.approx(np.full(axis.nodes - 1, 1 / axis.inverse_step))
