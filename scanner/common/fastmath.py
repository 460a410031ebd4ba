"""Logarithm and exponential that the compiler can vectorise, accurate to 1e-12.

Calls into the C library keep a loop scalar; these are plain arithmetic on the bits of a double.
"""

from __future__ import annotations

import numpy as np

from scanner.common.compiled import inlined

__all__ = ["fast_exp", "fast_log"]

_SQRT_HALF = 0x3FE6A09E667F3BCD  # bits of √½
_LN2 = 0.6931471805599453
_LN2_HIGH = 0.693147180369123816490
_LN2_LOW = 1.90821492927058770002e-10


@inlined
def fast_log(x: float) -> float:
    """ln x for normal positive x: x = 2^k m with m in [√½, √2), ln m by the series of artanh."""
    bits = np.float64(x).view(np.int64)
    k = (bits - _SQRT_HALF) >> 52
    m = np.int64(bits - (k << 52)).view(np.float64)
    t = (m - 1.0) / (m + 1.0)
    q = t * t
    series = 1 / 11 + q * (1 / 13 + q * (1 / 15))
    series = 1.0 + q * (1 / 3 + q * (1 / 5 + q * (1 / 7 + q * (1 / 9 + q * series))))
    return k * _LN2 + 2.0 * t * series


@inlined
def fast_exp(x: float) -> float:
    """e^x for |x| < 700: 2^k times the Taylor series on |r| ≤ ½ ln 2."""
    k = np.floor(x * 1.4426950408889634 + 0.5)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    series = 1 / 5040 + r * (1 / 40320 + r * (1 / 362880 + r * (1 / 3628800 + r * (1 / 39916800))))
    series = 1 / 24 + r * (1 / 120 + r * (1 / 720 + r * series))
    series = 1.0 + r * (1.0 + r * (1 / 2 + r * (1 / 6 + r * series)))
    return series * np.int64((np.int64(k) + 1023) << 52).view(np.float64)
