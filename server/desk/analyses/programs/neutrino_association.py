"""Whether an object is the source of a neutrino, by its place alone.

The Bayes factor of "one source" against "two" for positions on the sky (Budavári & Szalay 2008, ApJ 679, 301,
eq. 10) is, for a sky map with density p (per steradian, integral 1) and an object with a normalised error
profile q,

    B = 4π ∫ p q dΩ,

which for an object whose place is known exactly is 4π p there. With a prior P0 the posterior is
(eq. 9 there)  P = 1 / (1 + (1 - P0) / (B P0)).  The prior is the chance that one named source of N on the sky
is the one, when a share c of all that emit neutrinos is among the N: P0 = c / N.

Parameters: sources (N, default 1000), completeness (c, default 0.5), position_error (of the object, degrees,
one standard deviation of each axis, default 0).
"""

from __future__ import annotations

import csv
import json
import math
from typing import Any

Tile = tuple[float, float, float, float]  # ra, dec (degrees), area (sr), density (per sr)


def read(path: str) -> list[Tile]:
    """The map's tiles."""
    with open(path, newline="", encoding="utf8") as file:
        return [(float(row["ra"]), float(row["dec"]), float(row["area"]), float(row["density"]))
                for row in csv.DictReader(file)]


def separation(ra1: float, dec1: float, ra2: float, dec2: float) -> float:
    """Angle between two directions, all in degrees (Vincenty's formula, exact for small ones too)."""
    a, d1, d2 = math.radians(ra2 - ra1), math.radians(dec1), math.radians(dec2)
    across = math.hypot(math.cos(d2) * math.sin(a),
                        math.cos(d1) * math.sin(d2) - math.sin(d1) * math.cos(d2) * math.cos(a))
    along = math.sin(d1) * math.sin(d2) + math.cos(d1) * math.cos(d2) * math.cos(a)
    return math.degrees(math.atan2(across, along))


def density_at(tiles: list[Tile], ra: float, dec: float, error: float) -> float:
    """∫ p q dΩ per steradian; of an object known better than a tile is wide, the density of its tile."""
    apart = [separation(ra, dec, tile[0], tile[1]) for tile in tiles]
    nearest = min(range(len(tiles)), key=lambda k: apart[k] / math.sqrt(tiles[k][2]))
    width = math.degrees(math.sqrt(tiles[nearest][2]))
    if error < width / 2:
        return tiles[nearest][3] if apart[nearest] < width else 0.0
    pairs = [*zip(tiles, apart)]  # noqa: B905 - Python 3.9 knows no strict
    held = [tile[2] * tile[3] * math.exp(-0.5 * (angle / error) ** 2) for tile, angle in pairs]
    norm = 2 * math.pi * math.radians(error) ** 2
    return sum(held) / norm


def level_at(tiles: list[Tile], density: float) -> float:
    """How much probability lies where the map is at least as dense."""
    return min(sum(tile[2] * tile[3] for tile in tiles if tile[3] >= density), 1.0) if density > 0 else 1.0


def posterior(factor: float, prior: float) -> float:
    """The probability of one source; `factor` is the Bayes factor."""
    return factor * prior / (factor * prior + 1 - prior)


def associate(tiles: list[Tile], place: tuple[float, float], parameters: dict[str, Any]) -> dict[str, Any]:
    """The whole answer. Raises ValueError for parameters that cannot be."""
    sources, share = float(parameters.get("sources", 1000)), float(parameters.get("completeness", 0.5))
    error = float(parameters.get("position_error", 0))
    if not (sources >= 1 and 0 < share <= 1 and 0 <= error <= 20):
        raise ValueError("sources must be at least 1, completeness in (0, 1], position_error in [0, 20]")
    density = density_at(tiles, *place, error)
    factor, prior = 4 * math.pi * density, share / sources
    found = posterior(factor, prior)
    data = {"probability": found, "bayes_factor": factor, "prior": prior, "density_per_sr": density,
            "credible_level": level_at(tiles, density), "sources": sources, "completeness": share,
            "position_error_deg": error}
    return {"status": "success", "message": f"P = {found:.3g} with a Bayes factor of {factor:.3g}",
            "analysis": {"results": {"format": "json", "data": data}}}


def answer() -> dict[str, Any]:
    """Read the inputs; what is wrong with them is an answer too."""
    with open("parameters.json", encoding="utf8") as file:
        parameters = json.load(file)
    with open("event.csv", newline="", encoding="utf8") as file:
        event = next(csv.DictReader(file))
    if not event["obj_ra"]:
        return {"status": "failure", "message": "the object has no position"}
    try:
        place = float(event["obj_ra"]), float(event["obj_dec"])
        return associate(read("localization.csv"), place, parameters)
    except (TypeError, ValueError) as error:
        return {"status": "failure", "message": str(error)}


if __name__ == "__main__":
    with open("result.json", "w", encoding="utf8") as target:
        json.dump(answer(), target)
