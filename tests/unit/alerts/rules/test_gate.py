"""The gate: each check on its own, with numbers that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.alerts import AlertGate
from scanner.maps.posterior import EDGE
from server.alerts.common.revisions import MapFacts
from server.alerts.rules import gate
from server.alerts.way.scanning import facts_of_map
from tests.support.alerts import finished_map

GATE = AlertGate()
GOOD = MapFacts(ra_deg=120.0, dec_deg=20.0, nside=512, finest=512, complete=True, failed_share=0.0,
                area_50_deg2=1.0, area_90_deg2=math.pi, limits_90="", reco="track_mpe")


def facts(**changes: object) -> MapFacts:
    return MapFacts(**{name: changes.get(name, getattr(GOOD, name)) for name in GOOD.__struct_fields__})


def test_a_good_map_passes() -> None:
    online = {"name": "SplineMPE", "ra_deg": 121.0, "dec_deg": 20.0}
    checks = gate.judge(GATE, GOOD, online, [facts(ra_deg=120.5)])
    assert gate.passed(checks), checks
    assert [check.name for check in checks] == [
        "fit converged", "region closed", "near the online reconstruction", "reconstructions compatible"]
    assert all(check.text for check in checks)


@pytest.mark.parametrize(("changes", "says"), [
    ({"complete": False}, "not complete"), ({"failed_share": 0.1}, "10.0% of the fits"),
    ({"nside": 64}, "nside 64, though nside 512"),
])  # fmt: skip
def test_a_fit_that_did_not_converge(changes: dict[str, object], says: str) -> None:
    check = gate.converged(GATE, facts(**changes))
    assert not check.passed
    assert says in check.text


@pytest.mark.parametrize(("changes", "says"), [({"limits_90": EDGE}, "cut by the edge"),
                                               ({"area_90_deg2": 9000.0}, "larger than 2000")])
def test_a_region_that_is_open_or_huge(changes: dict[str, object], says: str) -> None:
    check = gate.closed(GATE, facts(**changes))
    assert not check.passed
    assert says in check.text


def test_far_from_the_online_reconstruction() -> None:
    online = {"name": "SplineMPE", "ra_deg": 120.0, "dec_deg": 26.0}
    check = gate.near_online(GATE, GOOD, online)
    assert not check.passed
    assert "6.00° from SplineMPE, at most 5°" in check.text
    assert gate.near_online(AlertGate(online_deg=0), GOOD, online).passed
    assert gate.near_online(GATE, GOOD, None).passed


def test_two_reconstructions_that_differ() -> None:
    """Both 90 % regions are as large as circles of one degree, so two degrees are allowed."""
    assert gate.compatible(GATE, GOOD, [facts(dec_deg=21.9)]).passed
    assert not gate.compatible(GATE, GOOD, [facts(dec_deg=22.1)]).passed
    assert gate.compatible(GATE, GOOD, []).passed
    assert gate.compatible(AlertGate(compatible=0), GOOD, [facts(dec_deg=-80.0)]).passed


def test_nothing_checked_is_not_passed() -> None:
    assert not gate.passed([])


directions = st.tuples(st.floats(0, 360), st.floats(-90, 90))


@given(directions, directions)
def test_separations_are_those_of_vectors(a: tuple[float, float], b: tuple[float, float]) -> None:
    def vector(ra: float, dec: float) -> np.ndarray:
        ra, dec = np.radians(ra), np.radians(dec)
        return np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])

    apart = gate.separation_deg(*a, *b)
    chord = 2 * np.degrees(np.arcsin(np.clip(np.linalg.norm(vector(*a) - vector(*b)) / 2, 0, 1)))
    assert apart == pytest.approx(chord, abs=1e-5)
    assert apart == pytest.approx(gate.separation_deg(*b, *a), abs=1e-9)


def test_a_radius_is_that_of_the_circle() -> None:
    assert gate.radius_deg(math.pi) == pytest.approx(1.0, rel=1e-4)
    assert gate.radius_deg(0) == 0
    assert gate.radius_deg(1e9) == pytest.approx(180.0)


def test_facts_of_a_map() -> None:
    found = facts_of_map(finished_map(120.0, 20.0))
    assert gate.separation_deg(found.ra_deg, found.dec_deg, 120.0, 20.0) < 1.0
    assert found.complete
    assert found.nside == found.finest == 64
    assert 0 < found.area_50_deg2 < found.area_90_deg2 < 2000
