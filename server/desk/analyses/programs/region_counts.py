"""Counts of catalogued sources in a sky map's regions against expectation.

The expectation is the mean surface density, over the whole sky or over a disc around the object (where a
catalogue covers a part of the sky only, the disc is the honest one), times the region's area. The probability
to find as many or more by chance is that of Poisson's distribution.
"""

from __future__ import annotations

import csv
import json
import math
from typing import Any

BACKGROUNDS = ("sky", "disc")


def chance(count: int, expected: float) -> float:
    """Probability of at least `count` where `expected` are expected (Poisson)."""
    if count <= 0:
        return 1.0
    if expected <= 0:
        return 0.0
    if count <= expected:
        return 1 - below(count, expected)
    term = math.exp(count * math.log(expected) - expected - math.lgamma(count + 1))
    total, k = 0.0, count
    while term > 0 and term > total * 1e-17:
        total += term
        k += 1
        term *= expected / k
    return min(total, 1.0)


def below(count: int, expected: float) -> float:
    """Probability of fewer than `count`."""
    terms = (math.exp(k * math.log(expected) - expected - math.lgamma(k + 1)) for k in range(count))
    return min(math.fsum(terms), 1.0)


def compared(rows: list[dict[str, str]]) -> list[dict[str, Any]]:
    """For each catalogue, region and background: what is there, what is expected, and the chance of it."""
    known = {(row["catalog"], row["region"]): (float(row["area"]), int(row["count"])) for row in rows}
    found = []
    for (catalog, region), (area, count) in known.items():
        for background in BACKGROUNDS if region not in BACKGROUNDS else ():
            if (catalog, background) not in known:
                continue
            wide, there = known[catalog, background]
            expected = there * area / wide
            found.append({"catalog": catalog, "region": region, "area_deg2": area, "count": count,
                          "background": background, "expected": expected, "chance": chance(count, expected)})
    return found


def answer() -> dict[str, Any]:
    """Read the counts and compare them."""
    with open("catalogs.csv", newline="", encoding="utf8") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return {"status": "failure", "message": "there are no catalogues: import one first"}
    found = compared(rows)
    rarest = min(found, key=lambda row: row["chance"])
    said = (f"{rarest['count']} of {rarest['catalog']} in the {rarest['region']} region, "
            f"{rarest['expected']:.3g} expected (chance {rarest['chance']:.2g})")
    return {"status": "success", "message": said,
            "analysis": {"results": {"format": "json", "data": {"rows": found}}}}


if __name__ == "__main__":
    with open("result.json", "w", encoding="utf8") as target:
        json.dump(answer(), target)
