"""The track fit written plainly: NumPy over modules, SciPy's simplex. The benchmark's yardstick.

Same likelihood, same spline coefficients, no compiled code and no derivatives.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates
from scipy.optimize import minimize

from config.ice import C_VACUUM, COS_CHERENKOV, SIN_CHERENKOV
from scanner.light.ice import mean_coefficients
from scanner.light.pandel import ASINH_W, LN_S, W_RANGE, XI, log_shape, log_survival
from scanner.light.spline import coefficients
from scanner.recos.track.fit import frame_of
from scanner.recos.track.hits import TrackHits
from scanner.recos.track.likelihood import HIGH_XI, SIGMA
from scanner.recos.track.model import delay_shape
from scanner.recos.track.paths import MIN_DISTANCE2, PATH_FACTOR, Frame
from scanner.recos.track.values import NOISE, REACH

__all__ = ["PlainFit"]


class PlainFit:
    """The best of 13 simplexes per direction."""

    def __init__(self, hits: TrackHits) -> None:
        self._hits = hits
        w = 2 * np.sinh(ASINH_W.points)
        self._shape = coefficients(log_shape(w, XI.points), axes=(0, 1))
        self._survival = coefficients(log_survival(w, XI.points, LN_S.points), axes=(0, 1, 2))
        doms = hits.doms
        self._position = np.stack([doms.x, doms.y, doms.z], axis=1)[: hits.n_hit]
        self._height, self._time = doms.height[: hits.n_hit], doms.time[: hits.n_hit]
        self._others, self._log_n = doms.others[: hits.n_hit], doms.log_n[: hits.n_hit]

    def fit(self, zenith: float, azimuth: float) -> float:
        """Smallest −ln L of a direction."""
        frame = Frame(*frame_of(zenith, azimuth))
        angles = 2 * np.pi * np.arange(6) / 6
        offsets = [(0.0, 0.0)] + [(r * np.cos(f), r * np.sin(f)) for r in (60.0, 150.0) for f in angles]
        return min(self._descend(frame, a, b) for a, b in offsets)

    def _descend(self, frame: Frame, a: float, b: float) -> float:
        start = np.array([a, b, float(np.quantile(self._residuals(frame, a, b)[0], 0.1))])
        simplex = start + np.vstack([np.zeros(3), np.diag([20.0, 20.0, 30.0])])
        return minimize(lambda x: self.llh(frame, *x), start, method="Nelder-Mead",
                        options={"initial_simplex": simplex, "xatol": 0.05, "fatol": 1e-3}).fun

    def _residuals(self, frame: Frame, a: float, b: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Times at which the light must start, distances, and cosines of the light to the upward axis."""
        across = self._position @ np.array(frame[3:6]) - a
        level = self._position[:, :2] @ np.array(frame[6:8]) - b
        distance = np.sqrt(across**2 + level**2 + MIN_DISTANCE2)
        cosine = frame.pz * COS_CHERENKOV + across / distance * frame.e1z * SIN_CHERENKOV
        start = self._time - (self._position @ np.array(frame[:3]) + PATH_FACTOR * distance) / C_VACUUM
        return start, distance, cosine

    def llh(self, frame: Frame, a: float, b: float, t0: float) -> float:
        """−ln L of a vertex."""
        start, distance, cosine = self._residuals(frame, a, b)
        ice = mean_coefficients(self._height - cosine * distance / SIN_CHERENKOV, self._height)
        xi, rate = delay_shape(distance, cosine, *ice)
        xi, s = np.minimum(xi, HIGH_XI), rate * SIGMA
        u = np.clip((start - t0) / SIGMA, W_RANGE[0] + 1.0, W_RANGE[1] - 1.0)
        at = [(np.log(s) - LN_S.first) * LN_S.inverse_step, (np.log(xi) - XI.first) * XI.inverse_step,
              (np.arcsinh((u - s) / 2) - ASINH_W.first) * ASINH_W.inverse_step]
        shape = map_coordinates(self._shape, at[1:], order=3, prefilter=False, mode="nearest")
        survival = map_coordinates(self._survival, at, order=3, prefilter=False, mode="nearest")
        y = xi * np.log(s) + s * s / 2 - s * u + shape + self._others * survival + self._log_n
        far = (a * a + b * b) / REACH**2
        return float(-np.log(np.exp(y) / SIGMA + NOISE).sum() + 0.5 * far * far)
