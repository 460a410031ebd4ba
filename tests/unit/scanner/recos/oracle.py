"""The track likelihood once more, slowly: one module at a time, every integral by adaptive quadrature.

Nothing here is shared with the kernel but the detector's and the ice's figures.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.integrate import quad
from scipy.stats import gamma, norm

from config.detector import dom_positions
from config.ice import C_VACUUM, ice_layers
from scanner.events.event import Event

N_PHASE, N_GROUP = 1.3195, 1.35634
COS, SIN = 1 / N_PHASE, math.sqrt(1 - 1 / N_PHASE**2)
LAMBDA_SCALE, NOISE = 1.3, 1e-6


def flight(zenith: float, azimuth: float) -> np.ndarray:
    """Unit vector in which a particle from (zenith, azimuth) flies."""
    return -np.array([math.sin(zenith) * math.cos(azimuth), math.sin(zenith) * math.sin(azimuth),
                      math.cos(zenith)])


def mean_coefficients(low: float, high: float) -> tuple[float, float]:
    """Mean scattering and absorption between two heights."""
    layers = ice_layers()
    if abs(high - low) < 1e-6:
        high = low + 1e-6
    z = np.linspace(low, high, 2001)
    return tuple(float(np.mean(np.interp(z, layers.z, c))) for c in (layers.scattering, layers.absorption))


def geometry(dom: np.ndarray, vertex: np.ndarray, p: np.ndarray) -> tuple[float, float, float, float]:
    """Path delay/c-less metres (l + K d), distance, cosine to the upward axis and height of the emission."""
    relative = dom - vertex
    along = float(relative @ p)
    to_dom = relative - along * p
    d = math.sqrt(float(to_dom @ to_dom) + 0.04)
    photon = p * COS + to_dom / d * SIN
    delay = along + (N_GROUP / SIN - COS / SIN) * d
    return delay, d, float(photon[2]), float(dom[2] - photon[2] * d / SIN)


def shape_and_rate(d: float, cosine: float, scattering: float, absorption: float) -> tuple[float, float]:
    """Pandel's ξ and ρ (1/ns) with lengths in units of the local scattering length."""
    length = LAMBDA_SCALE / scattering
    effective = (3.094 - 3.946 * cosine + 4.636 * cosine**2) * length / 33.29 + 0.8395 * d
    return effective / length, 27 * scattering / 556.7 + C_VACUUM / N_GROUP * absorption


def density(t: float, xi: float, rate: float, sigma: float) -> float:
    """Gamma distribution convoluted with a Gaussian, in 1/ns."""
    delay = gamma(xi, scale=1 / rate)
    low, high = max(t - 10 * sigma, 0.0), t + 10 * sigma
    if high <= 0:
        return 0.0
    # the gamma density can be infinite at 0: integrate over its own probability near there
    edge = min(high, max(low, 1e-3))
    inner = (delay.cdf(edge) - delay.cdf(low)) * norm.pdf(t, edge / 2, sigma) if edge > low else 0.0
    value, _ = quad(lambda x: delay.pdf(x) * norm.pdf(t, x, sigma), edge, high, limit=500, epsrel=1e-10,
                    points=[x for x in (t, 0.01, 0.1, 1.0) if edge < x < high])
    return inner + value


def survival(t: float, xi: float, rate: float, sigma: float) -> float:
    """Probability of a later photon."""
    delay = gamma(xi, scale=1 / rate)
    corner = [t] if -9 * sigma < t < 9 * sigma else None
    value, _ = quad(lambda y: delay.sf(t - y) * norm.pdf(y, 0, sigma), -9 * sigma, 9 * sigma, points=corner,
                    limit=500, epsrel=1e-10)
    return value


def module_llh(t: float, n: float, xi: float, rate: float, sigma: float) -> float:
    """−ln of one module's likelihood: first of n photons, or noise."""
    later = survival(t, xi, rate, sigma) ** (n - 1)
    return -math.log(n * density(t, xi, rate, sigma) * later + NOISE)


def first_pulses(event: Event) -> list[tuple[np.ndarray, float, float]]:
    """(position, time, N) of every module with cleaned pulses on strings 1 … 78."""
    modules: dict[tuple[int, int], tuple[float, float]] = {}
    pulses = event.cleaned
    for string, om, time, charge in zip(pulses.string, pulses.om, pulses.time, pulses.charge, strict=True):
        if string < 79:
            first, total = modules.get((string, om), (math.inf, 0.0))
            modules[string, om] = min(first, float(time)), total + float(charge)
    return [(dom_positions()[string - 1, om - 1], time, min(max(charge, 1.0), 20.0))
            for (string, om), (time, charge) in modules.items()]


def llh(event: Event, zenith: float, azimuth: float, vertex: np.ndarray, time: float, sigma: float) -> float:
    """−ln L of a track through `vertex` at `time`."""
    p, total = flight(zenith, azimuth), 0.0
    for dom, first, n in first_pulses(event):
        delay, d, cosine, emitted = geometry(dom, vertex, p)
        emitted = min(max(emitted, -840.0), 840.0)
        xi, rate = shape_and_rate(d, cosine, *mean_coefficients(emitted, float(dom[2])))
        total += module_llh(first - time - delay / C_VACUUM, n, xi, rate, sigma)
    return total
