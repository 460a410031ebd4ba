"""The quality gate: what is asked of a map before anybody outside is told. Pure functions, each explained.

A check that cannot be made (no online reconstruction came with the event, there is no earlier map) passes,
and says so: a person reads its text beside the others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from config.alerts import AlertGate
from scanner.maps.healpix import FULL_SKY_DEG2
from scanner.maps.posterior import EDGE
from server.alerts.common.revisions import Check, MapFacts

__all__ = ["closed", "compatible", "converged", "judge", "near_online", "passed", "radius_deg",
           "separation_deg"]


def judge(gate: AlertGate, facts: MapFacts, online: dict[str, Any] | None,
          earlier: Sequence[MapFacts]) -> list[Check]:
    """Every check of a map, given the online reconstruction and the maps of the revisions before it."""
    return [converged(gate, facts), closed(gate, facts), near_online(gate, facts, online),
            compatible(gate, facts, earlier)]


def passed(checks: Sequence[Check]) -> bool:
    """Whether nothing stands in the way of publishing."""
    return bool(checks) and all(check.passed for check in checks)


def converged(gate: AlertGate, facts: MapFacts) -> Check:
    """The scan went to its end, hardly a fit failed near the best one, and that is on the finest level.

    A best fit on a coarse pixel means that finer fits all came out worse: the minimiser was caught somewhere.
    """
    problems = []
    if not facts.complete:
        problems.append("the scan is not complete")
    if gate.max_failed_share and facts.failed_share > gate.max_failed_share:
        problems.append(f"{facts.failed_share:.1%} of the fits of the finest levels failed, more than "
                        f"{gate.max_failed_share:.1%}")
    if facts.nside < facts.finest:
        problems.append(f"the best fit has nside {facts.nside}, though nside {facts.finest} was fitted "
                        "around it")
    return Check("fit converged", not problems, "; ".join(problems) or
                 f"best fit at nside {facts.nside}, {facts.failed_share:.1%} of the fits failed")


def closed(gate: AlertGate, facts: MapFacts) -> Check:
    """The 90 % region lies inside what was refined, and is no larger than a telescope could follow up.

    A region that is cut by the edge of the refined area is larger than its area says.
    """
    size = f"90 % region of {facts.area_90_deg2:.3g} deg²"
    if EDGE in facts.limits_90:
        return Check("region closed", False, f"{size} is {EDGE}")
    if gate.max_area_deg2 and facts.area_90_deg2 > gate.max_area_deg2:
        return Check("region closed", False, f"{size} is larger than {gate.max_area_deg2:g} deg²")
    return Check("region closed", True, f"{size}, closed")


def near_online(gate: AlertGate, facts: MapFacts, online: dict[str, Any] | None) -> Check:
    """The best fit is not far from the reconstruction that the detector made of the same event."""
    name = "near the online reconstruction"
    if not gate.online_deg:
        return Check(name, True, "the rule does not ask")
    if online is None:
        return Check(name, True, "no online track reconstruction came with the event")
    apart = separation_deg(facts.ra_deg, facts.dec_deg, online["ra_deg"], online["dec_deg"])
    return Check(name, apart <= gate.online_deg,
                 f"{apart:.2f}° from {online['name']}, at most {gate.online_deg:g}° are allowed")


def compatible(gate: AlertGate, facts: MapFacts, earlier: Sequence[MapFacts]) -> Check:
    """The best fits of two reconstructions are no further apart than both 90 % regions are wide together."""
    name = "reconstructions compatible"
    if not gate.compatible:
        return Check(name, True, "the rule does not ask")
    if not earlier:
        return Check(name, True, "this is the first map of the event")
    other = earlier[-1]
    apart = separation_deg(facts.ra_deg, facts.dec_deg, other.ra_deg, other.dec_deg)
    limit = gate.compatible * (radius_deg(facts.area_90_deg2) + radius_deg(other.area_90_deg2))
    return Check(name, apart <= limit,
                 f"{apart:.2f}° from the best fit of {other.reco}, at most {limit:.2f}° are allowed")


def radius_deg(area_deg2: float) -> float:
    """The radius of the circle on the sphere that is as large as an area (square degrees)."""
    return math.degrees(math.acos(1 - 2 * min(max(area_deg2, 0.0) / FULL_SKY_DEG2, 1.0)))


def separation_deg(ra_a: float, dec_a: float, ra_b: float, dec_b: float) -> float:
    """The angle between two directions, all in degrees (Vincenty's formula, exact for small angles too)."""
    a, b, turn = (math.radians(x) for x in (dec_a, dec_b, ra_b - ra_a))
    across = math.hypot(math.cos(b) * math.sin(turn),
                        math.cos(a) * math.sin(b) - math.sin(a) * math.cos(b) * math.cos(turn))
    along = math.sin(a) * math.sin(b) + math.cos(a) * math.cos(b) * math.cos(turn)
    return math.degrees(math.atan2(across, along))
