"""Quasi-Newton minimisation of a track's three vertex parameters (BFGS: Nocedal & Wright 2006, ch. 6).

The first curvature is that of the arrival times, which the likelihood provides; every accepted step improves it.
"""

from __future__ import annotations

import numba
import numpy as np

from scanner.track.likelihood import evaluate

__all__ = ["descend"]

TOLERANCE = 1e-7
"""Expected gain in ln L below which a minimum counts as reached."""
STEP_LIMIT = 100.0
"""Longest step in (a, b), m."""
_RIDGE = 1e-8


@numba.njit(fastmath=True, error_model="numpy", cache=True, nogil=True)
def inverse_curvature(value):
    """Inverse of the likelihood's approximate curvature, symmetric 3 × 3 as (aa, ab, at, bb, bt, tt)."""
    aa, bb, tt = value.haa * 1.001 + 1e-5, value.hbb * 1.001 + 1e-5, value.htt * 1.001 + 1e-6
    ab, at, bt = value.hab, value.hat, value.hbt
    caa, cab, cat = bb * tt - bt * bt, at * bt - ab * tt, ab * bt - at * bb
    cbb, cbt, ctt = aa * tt - at * at, ab * at - aa * bt, aa * bb - ab * ab
    inverse = 1.0 / (aa * caa + ab * cab + at * cat)
    return caa * inverse, cab * inverse, cat * inverse, cbb * inverse, cbt * inverse, ctt * inverse


@numba.njit(fastmath=True, error_model="numpy", cache=True, nogil=True)
def times(m, x, y, z):
    """Symmetric matrix times vector."""
    return (
        m[0] * x + m[1] * y + m[2] * z,
        m[1] * x + m[3] * y + m[4] * z,
        m[2] * x + m[4] * y + m[5] * z,
    )


@numba.njit(fastmath=True, error_model="numpy", cache=True, nogil=True)
def updated(m, sa, sb, st, ya, yb, yt):
    """BFGS update of the inverse curvature by step s and gradient change y."""
    sy = sa * ya + sb * yb + st * yt
    ma, mb, mt = times(m, ya, yb, yt)
    size = (1.0 + (ya * ma + yb * mb + yt * mt) / sy) / sy
    r = 1.0 / sy
    return (
        m[0] + size * sa * sa - r * 2 * ma * sa,
        m[1] + size * sa * sb - r * (ma * sb + mb * sa),
        m[2] + size * sa * st - r * (ma * st + mt * sa),
        m[3] + size * sb * sb - r * 2 * mb * sb,
        m[4] + size * sb * st - r * (mb * st + mt * sb),
        m[5] + size * st * st - r * 2 * mt * st,
    )


@numba.njit(fastmath=True, error_model="numpy", cache=True, nogil=True)
def descend(doms, tables, frame, a, b, t, sigma, max_steps, tolerance):
    """Go downhill from (a, b, t); return the best −ln L, its place, and the number of evaluations."""
    best = evaluate(doms, tables, frame, a, b, t, sigma)
    inverse = inverse_curvature(best)
    steps = 1
    length = 1.0
    fresh = True
    while steps < max_steps:
        da, db, dt = times(inverse, -best.ga, -best.gb, -best.gt)
        slope = da * best.ga + db * best.gb + dt * best.gt
        if -slope < tolerance:
            break
        length = min(1.0, STEP_LIMIT / np.sqrt(da * da + db * db + 1e-12))
        while True:
            sa, sb, st = length * da, length * db, length * dt
            trial = evaluate(doms, tables, frame, a + sa, b + sb, t + st, sigma)
            steps += 1
            change = trial.llh - best.llh
            if change < 1e-4 * length * slope or steps >= max_steps:
                break
            guess = -0.5 * length * slope / (change - length * slope)
            length *= min(max(guess, 0.1), 0.5)
            if -length * slope < 0.1 * tolerance:
                break
        if change >= 0.0:
            if fresh:
                break
            inverse = inverse_curvature(best)
            fresh = True
            continue
        ya, yb, yt = trial.ga - best.ga, trial.gb - best.gb, trial.gt - best.gt
        if sa * ya + sb * yb + st * yt > 1e-3 * abs(length * slope):
            inverse = updated(inverse, sa, sb, st, ya, yb, yt)
            fresh = False
        else:
            inverse = inverse_curvature(trial)
            fresh = True
        a, b, t, best = a + sa, b + sb, t + st, trial
    return best.llh, a, b, t, steps
