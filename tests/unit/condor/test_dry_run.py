"""What a dry run of a site's grid tells programs."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import msgspec

from grid.base import PilotClass
from grid.condor.cli import _document
from grid.condor.decide import Decision, Order
from grid.condor.shapes import Unserved
from iceprod.cli.common.shapes import SHAPES, GridPlan


def test_a_plan_has_the_documented_keys() -> None:
    site: Any = SimpleNamespace(site="north")
    service: Any = SimpleNamespace(
        pilots=[SimpleNamespace(state="running"), SimpleNamespace(state="queued"),
                SimpleNamespace(state="running")],
        schedd=SimpleNamespace(name="schedd"), told_trouble="")
    decision = Decision(submit=(Order(PilotClass(), 3),), remove=("7.0",), reasons=("tasks wait",),
                        unserved=(Unserved("key", "with 64 GPUs", 2, "no slot has so many"),))
    told = json.loads(json.dumps(_document(site, service, decision)))
    assert msgspec.convert(told, GridPlan, strict=True).pilots == {"queued": 1, "running": 2}
    assert told["submit"][0]["count"] == 3
    assert told["unserved"] == [{"waiting": 2, "text": "with 64 GPUs", "why": "no slot has so many"}]
    assert SHAPES["grid"] == (GridPlan,)
