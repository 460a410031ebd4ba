"""Quasi-Newton minimisation of a track's three vertex parameters (BFGS: Nocedal & Wright 2006, ch. 6).

The squared slopes of the modules with time give a first curvature; the first step scales it, every further
one improves it. Where the likelihood bends the wrong way, steps grow until they have left that region.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from scanner.common.compiled import fast_kernel, overloads
from scanner.recos.track.first_photon import FirstPhotons, evaluate_first
from scanner.recos.track.likelihood import Doms, evaluate
from scanner.recos.track.paths import Frame
from scanner.recos.track.values import Tables, Value

__all__ = ["End", "Hits", "descend"]

_STEP_LIMIT = 100.0  # longest step in (a, b), m
_TIME_LIMIT = 300.0  # longest step in t, ns
_MAX_EVALUATIONS = 100
_SUFFICIENT = 1e-4  # share of the promised gain that a step must bring
_CONVEX = 1e-3  # share of the slope by which the gradient must change for an update
_GROWTH = 3.0
_MOST_PROMISING = 1e12  # a larger promised gain is a breakdown of the arithmetic

Symmetric = tuple[float, float, float, float, float, float]
"""A symmetric 3 × 3 matrix as (aa, ab, at, bb, bt, tt)."""


Hits = Doms | FirstPhotons
"""Modules of either likelihood: their type says which of the two a descent follows."""


def _value(doms: Hits, tables: Tables, frame: Frame, a: float, b: float, t: float, sigma: float) -> Value:
    """−ln L and its slopes, by the likelihood that the modules belong to."""
    raise NotImplementedError("compiled code only")


@overloads(_value)
def _value_of(doms: Any, tables: Any, frame: Any, a: Any, b: Any, t: Any, sigma: Any) -> Callable[..., Value]:
    if doms.instance_class is FirstPhotons:
        return lambda doms, tables, frame, a, b, t, sigma: evaluate_first(doms, tables, frame, a, b, t, sigma)
    return lambda doms, tables, frame, a, b, t, sigma: evaluate(doms, tables, frame, a, b, t, sigma)


class End(NamedTuple):
    """Where a descent ended, and what it cost."""

    llh: float
    a: float
    b: float
    t: float
    evaluations: int


@fast_kernel
def _inverse_curvature(value: Value) -> Symmetric:
    """Inverse of the likelihood's approximate curvature, slightly raised so that it exists."""
    aa, bb, tt = value.haa * 1.001 + 1e-5, value.hbb * 1.001 + 1e-5, value.htt * 1.001 + 1e-6
    ab, at, bt = value.hab, value.hat, value.hbt
    caa, cab, cat = bb * tt - bt * bt, at * bt - ab * tt, ab * bt - at * bb
    cbb, cbt, ctt = aa * tt - at * at, ab * at - aa * bt, aa * bb - ab * ab
    inverse = 1.0 / (aa * caa + ab * cab + at * cat)
    return caa * inverse, cab * inverse, cat * inverse, cbb * inverse, cbt * inverse, ctt * inverse


@fast_kernel
def _times(m: Symmetric, x: float, y: float, z: float) -> tuple[float, float, float]:
    return (
        m[0] * x + m[1] * y + m[2] * z,
        m[1] * x + m[3] * y + m[4] * z,
        m[2] * x + m[4] * y + m[5] * z,
    )


@fast_kernel
def _scaled(m: Symmetric, factor: float) -> Symmetric:
    return m[0] * factor, m[1] * factor, m[2] * factor, m[3] * factor, m[4] * factor, m[5] * factor


@fast_kernel
def _updated(m: Symmetric, sa: float, sb: float, st: float, ya: float, yb: float, yt: float) -> Symmetric:
    """BFGS update of the inverse curvature by a step s and the change y of the gradient."""
    r = 1.0 / (sa * ya + sb * yb + st * yt)
    ma, mb, mt = _times(m, ya, yb, yt)
    size = (1.0 + (ya * ma + yb * mb + yt * mt) * r) * r
    return (
        m[0] + size * sa * sa - r * 2 * ma * sa,
        m[1] + size * sa * sb - r * (ma * sb + mb * sa),
        m[2] + size * sa * st - r * (ma * st + mt * sa),
        m[3] + size * sb * sb - r * 2 * mb * sb,
        m[4] + size * sb * st - r * (mb * st + mt * sb),
        m[5] + size * st * st - r * 2 * mt * st,
    )


@fast_kernel
def _first_scale(m: Symmetric, sa: float, sb: float, st: float, ya: float, yb: float, yt: float) -> float:
    """Ratio of the inverse curvature along a first step to the estimate (Nocedal & Wright, eq. 6.20)."""
    ma, mb, mt = _times(m, ya, yb, yt)
    ratio = (sa * ya + sb * yb + st * yt) / (ya * ma + yb * mb + yt * mt)
    return min(max(ratio, 0.3), 5.0)


@fast_kernel
def descend(doms: Hits, tables: Tables, frame: Frame, a: float, b: float, t: float, sigma: float,
            tolerance: float) -> End:
    """Go downhill from (a, b, t) until the promised gain in ln L falls below `tolerance`."""
    best = _value(doms, tables, frame, a, b, t, sigma)
    inverse = _inverse_curvature(best)
    count = 1
    fresh = True
    while count < _MAX_EVALUATIONS:
        da, db, dt = _times(inverse, -best.ga, -best.gb, -best.gt)
        slope = da * best.ga + db * best.gb + dt * best.gt
        if not tolerance <= -slope < _MOST_PROMISING:
            break
        length = min(1.0, _STEP_LIMIT / np.sqrt(da * da + db * db + 1e-12), _TIME_LIMIT / (abs(dt) + 1e-6))
        while True:
            sa, sb, st = length * da, length * db, length * dt
            trial = _value(doms, tables, frame, a + sa, b + sb, t + st, sigma)
            count += 1
            change = trial.llh - best.llh
            if change < _SUFFICIENT * length * slope or count >= _MAX_EVALUATIONS:
                break
            parabola = -0.5 * length * slope / (change - length * slope)
            length *= min(max(parabola, 0.1), 0.5)
            if -length * slope < 0.1 * tolerance:
                break
        if change >= 0.0:
            if fresh:
                break
            inverse = _inverse_curvature(best)
            fresh = True
            continue
        ya, yb, yt = trial.ga - best.ga, trial.gb - best.gb, trial.gt - best.gt
        if sa * ya + sb * yb + st * yt > -_CONVEX * length * slope:
            if fresh:
                inverse = _scaled(inverse, _first_scale(inverse, sa, sb, st, ya, yb, yt))
            inverse = _updated(inverse, sa, sb, st, ya, yb, yt)
            fresh = False
        else:
            inverse = _scaled(inverse, _GROWTH)
            fresh = True
        a, b, t, best = a + sa, b + sb, t + st, trial
    return End(best.llh, a, b, t, count)
