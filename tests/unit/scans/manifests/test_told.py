"""What an event tells of itself, and what hostile ones do not."""

from __future__ import annotations

from typing import Any

import pytest

from scanner.events.i3live import read_event
from server.scans.manifests.told import Told, told_by
from tests.support.scans import simulated_event


def told(document: dict[str, Any]) -> Told:
    return told_by(document, read_event(document, name="it", is_real_event=False))


def test_the_online_direction_is_that_of_the_sky() -> None:
    found = told(simulated_event(online=(113.2, 16.0)))
    assert found.online is not None
    assert (found.online.ra_deg, found.online.dec_deg) == pytest.approx((113.2, 16.0), abs=1e-4)
    assert found.online.name == "OnlineL2_SplineMPE"
    assert found.energies == {"truncated": 77406.3}
    assert found.extras == {"p_astro": 0.62, "far": 1.1e-8}


def test_what_stands_beside_the_event_is_the_truth() -> None:
    document = simulated_event()
    assert told(document).truth is not None, "the frames have one"
    place = told(document | {"truth": {"ra_deg": -1.0, "dec_deg": 5}}).truth
    assert place is not None
    assert (place.ra_deg, place.dec_deg) == (359.0, 5.0)


@pytest.mark.parametrize("value", [None, "x", True, float("nan"), float("inf"), 10 ** 400, [], {}])
def test_what_is_no_number_is_not_told(value: Any) -> None:
    document = simulated_event(online=(113.2, 16.0))
    document["value"]["data"] |= {"signalness": value, "far": value, "reco": {"energy": {"truncated": value}}}
    found = told(document | {"truth": {"ra_deg": value, "dec_deg": 1.0}})
    assert (found.extras, found.energies) == ({}, {})
    assert found.truth is None or 0 <= found.truth.ra_deg < 360
    document["value"]["data"] |= {"reco": value}
    assert told(document).energies == {}
