"""Logarithm and exponential that the compiler can vectorise, to 1e-12, and to 3e-7 in single precision.

Calls into the C library keep a loop scalar; these are plain arithmetic on the bits of a double.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from scanner.common.compiled import inlined

__all__ = ["F", "fast_exp", "fast_log", "single_exp", "single_log"]

F: Any = np.float32
"""Numbers of compiled code in single precision need it around each constant: numba takes 0.5 for a double."""

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


_SQRT_HALF_SINGLE = np.int32(0x3F3504F3)
_SINGLE_MANTISSA, _SINGLE_BIAS = np.int32(23), np.int32(127)
_LN2_SINGLE, _LN2_HIGH_SINGLE, _LN2_LOW_SINGLE = F(_LN2), F(0.693359375), F(-2.12194440e-4)


@inlined
def single_log(x: float) -> float:
    """As `fast_log`, of a float32."""
    bits = np.float32(x).view(np.int32)
    k = np.int32(np.int32(bits - _SQRT_HALF_SINGLE) >> _SINGLE_MANTISSA)
    m = np.int32(bits - np.int32(k << _SINGLE_MANTISSA)).view(np.float32)
    t = (m - F(1)) / (m + F(1))
    q = t * t
    return F(k) * _LN2_SINGLE + F(2) * t * (F(1) + q * (F(1 / 3) + q * (F(1 / 5) + q * F(1 / 7))))


@inlined
def single_exp(x: float) -> float:
    """As `fast_exp`, of a float32 with |x| < 87."""
    k = np.floor(x * F(1.4426950408889634) + F(0.5))
    r = (x - k * _LN2_HIGH_SINGLE) - k * _LN2_LOW_SINGLE
    series = F(1 / 24) + r * (F(1 / 120) + r * (F(1 / 720) + r * F(1 / 5040)))
    series = F(1) + r * (F(1) + r * (F(1 / 2) + r * (F(1 / 6) + r * series)))
    return series * np.int32(np.int32(np.int32(k) + _SINGLE_BIAS) << _SINGLE_MANTISSA).view(np.float32)
