"""Fit of a light curve: f(t) = A exp(-(t - t0) / fall) / (1 + exp(-(t - t0) / rise)), with one A per filter.

The function is that of Bazin et al. 2009 (A&A 499, 653, eq. 1) without a constant. For given t0, rise and
fall the best amplitudes follow by linear least squares; a Markov chain (Metropolis et al. 1953) walks over
the three, in days of logarithms for the two times. Fluxes are in µJy; magnitudes (AB) are turned into them.
"""

from __future__ import annotations

import csv
import json
import math
import random
from typing import Any, NamedTuple

ZERO_POINT = 23.9  # AB magnitude of 1 µJy
MOST_STEPS = 100000
Curve = tuple[float, ...]  # t0 (days), ln(rise / day), ln(fall / day)


class Point(NamedTuple):
    """One measurement; days (MJD) and µJy."""

    mjd: float
    band: str
    flux: float
    error: float


def read(path: str) -> list[Point]:
    """All points with a flux and its error."""
    with open(path, newline="", encoding="utf8") as file:
        rows = [point(row) for row in csv.DictReader(file)]
    return [row for row in rows if row is not None]


def point(row: dict[str, str]) -> Point | None:
    """A measurement out of a line; None for a limit."""
    if row["flux"] and row["fluxerr"]:
        return Point(float(row["mjd"]), row["filter"], float(row["flux"]), float(row["fluxerr"]))
    if row["mag"] and row["magerr"]:
        flux = 10 ** ((ZERO_POINT - float(row["mag"])) / 2.5)
        return Point(float(row["mjd"]), row["filter"], flux, flux * float(row["magerr"]) * math.log(10) / 2.5)
    return None


def shape(mjd: float, curve: Curve) -> float:
    """The function without its amplitude."""
    t0, rise, fall = curve
    days = mjd - t0
    up, down = -days / math.exp(rise), -days / math.exp(fall)
    if up > 500:  # long before the peak
        return math.exp(max(down - up, -700.0)) if down - up < 700 else 0.0
    return math.exp(min(max(down, -700.0), 700.0)) / (1 + math.exp(up))


def amplitudes(points: list[Point], curve: Curve) -> dict[str, float]:
    """The best amplitude of each filter."""
    above: dict[str, float] = {}
    below: dict[str, float] = {}
    for one in points:
        model, weight = shape(one.mjd, curve), one.error**-2
        above[one.band] = above.get(one.band, 0.0) + model * one.flux * weight
        below[one.band] = below.get(one.band, 0.0) + model * model * weight
    return {band: above[band] / below[band] if below[band] > 0 else 0.0 for band in above}


def chi2(points: list[Point], curve: Curve) -> float:
    """The sum of squared residuals in errors, with the best amplitudes."""
    best = amplitudes(points, curve)
    return sum(((one.flux - best[one.band] * shape(one.mjd, curve)) / one.error) ** 2 for one in points)


def allowed(curve: Curve, span: tuple[float, float]) -> bool:
    """Whether a curve peaks near the data, and rises and falls within 0.1 to 1000 days."""
    low, high = span
    inside = low - (high - low) - 30 < curve[0] < high + (high - low) + 30
    return inside and all(math.log(0.1) < value < math.log(1000.0) for value in curve[1:])


def start(points: list[Point], span: tuple[float, float]) -> Curve:
    """The best of a coarse grid."""
    times = sorted({one.mjd for one in points})
    grid = [(mjd, math.log(rise), math.log(fall)) for mjd in times[:: max(len(times) // 40, 1)]
            for rise in (0.5, 2.0, 8.0) for fall in (3.0, 15.0, 60.0)]
    return min((one for one in grid if allowed(one, span)), key=lambda one: chi2(points, one))


def walk(points: list[Point], steps: int, seed: int) -> tuple[Curve, float, list[Curve]]:
    """The best curve, its χ², and samples of the posterior (flat in t0 and the logarithms)."""
    dice, span = random.Random(seed), (min(p.mjd for p in points), max(p.mjd for p in points))
    here = start(points, span)
    value = chi2(points, here)
    best, lowest, widths = here, value, [1.0, 0.2, 0.2]
    chain: list[Curve] = []
    taken = 0
    for step in range(steps):
        there = tuple(x + width * dice.gauss(0, 1) for x, width in zip(here, widths))  # noqa: B905
        if allowed(there, span):
            new = chi2(points, there)
            if math.log(1 - dice.random()) < (value - new) / 2:
                here, value, taken = there, new, taken + 1
                if value < lowest:
                    best, lowest = here, value
        if step < steps // 3:  # still finding its stride; none of this is kept
            if step % 50 == 49:
                factor = 1.3 if taken > 15 else 0.75
                widths, taken = [width * factor for width in widths], 0
        else:
            chain.append(here)
    return best, lowest, chain


def quantiles(values: list[float]) -> dict[str, float]:
    """Median and the distances to the 16 and 84 % quantiles."""
    ordered = sorted(values)
    low, middle, high = (ordered[int(share * (len(ordered) - 1))] for share in (0.16, 0.5, 0.84))
    return {"median": middle, "minus": middle - low, "plus": high - middle}


def figure(points: list[Point], best: Curve) -> dict[str, Any]:
    """Points and curves, filter by filter."""
    heights, lines = amplitudes(points, best), []
    first, last = min(p.mjd for p in points), max(p.mjd for p in points)
    grid = [first - 5 + (last - first + 10) * k / 300 for k in range(301)]
    for band in sorted(heights):
        mine = [p for p in points if p.band == band]
        lines.append({"x": [p.mjd for p in mine], "y": [p.flux for p in mine],
                      "error": [p.error for p in mine], "label": band, "style": "points"})
        lines.append({"x": grid, "y": [heights[band] * shape(t, best) for t in grid], "label": f"{band} fit",
                      "style": "line"})
    return {"lines": lines, "title": "Light curve", "x_label": "MJD", "y_label": "flux (µJy)"}


def fit(points: list[Point], steps: int, seed: int) -> dict[str, Any]:
    """The whole answer."""
    best, lowest, chain = walk(points, steps, seed)
    thin = chain[:: max(len(chain) // 4000, 1)]
    samples = {"t0": [c[0] for c in thin], "rise": [math.exp(c[1]) for c in thin],
               "fall": [math.exp(c[2]) for c in thin]}
    data = {"t0_mjd": best[0], "rise_days": math.exp(best[1]), "fall_days": math.exp(best[2]),
            "amplitudes_ujy": amplitudes(points, best), "chi2": lowest, "points": len(points),
            "degrees_of_freedom": len(points) - 3 - len({p.band for p in points}),
            "posterior": {name: quantiles(values) for name, values in samples.items()}}
    return {"status": "success", "message": f"χ² = {lowest:.1f} of {len(points)} points",
            "analysis": {"results": {"format": "json", "data": data},
                         "inference_data": {"format": "json", "data": samples},
                         "plots": [{"format": "series", "data": figure(points, best)}]}}


def answer() -> dict[str, Any]:
    """Read the inputs and fit; what is wrong with them is an answer too."""
    with open("parameters.json", encoding="utf8") as file:
        parameters = json.load(file)
    try:
        steps, seed = int(parameters.get("steps", 6000)), int(parameters.get("seed", 1))
    except (TypeError, ValueError):
        return {"status": "failure", "message": "steps and seed must be whole numbers"}
    if not 300 <= steps <= MOST_STEPS:
        return {"status": "failure", "message": f"steps: must be from 300 to {MOST_STEPS}"}
    points = [one for one in read("photometry.csv") if one.error > 0]
    needed = 4 + len({one.band for one in points})
    if len(points) < needed or len({one.mjd for one in points}) < 5:
        return {"status": "failure", "message": f"{len(points)} points with errors are too few to fit"}
    return fit(points, steps, seed)


if __name__ == "__main__":
    with open("result.json", "w", encoding="utf8") as target:
        json.dump(answer(), target)
