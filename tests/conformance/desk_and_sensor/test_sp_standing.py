"""K11 standing requests; K12 survey efficiency."""
import pytest
from client import ok, refused, until

op = pytest.mark.op
BIG = 987654321


def followup_payload(world):
    p = world.payload()
    del p["start_date"], p["end_date"]
    return p


def default_followup(sp, world, name, **over):
    return sp.op(73, json={"allocation_id": world.allocation, "payload": followup_payload(world), "target_group_ids": [world.group],
                           "default_followup_name": name, "source_filter": {"classification": "nothing"}, **over})








@op(51, 62, 73)
@pytest.mark.slow
def test_default_followup_fires_on_classification(sp, world, uniq):
    did = ok(default_followup(sp, world, uniq, source_filter={"classification": "SN Ia"}))["id"]
    obj = world.obj()
    ok(sp.op(51, json={"obj_id": obj, "classification": "SN Ia", "taxonomy_id": world.taxonomy, "group_ids": [world.group]}))
    rows = until(lambda: ok(sp.companion("GET", "/api/followup_request", params={"sourceID": obj}))["followup_requests"], 20, what="request made by the rule")
    assert len(rows) == 1
    assert rows[0]["obj_id"] == obj
    assert rows[0]["payload"]["start_date"]
    ok(sp.op(62, default_followup_request_id=did))


def plan_payload(**over):
    return {"filter_strategy": "block", "schedule_strategy": "tiling", "schedule_type": "greedy_slew", "exposure_time": 300, "filters": "ztfr", "maximum_airmass": 2.0,
            "integrated_probability": 100, "minimum_time_difference": 30, "program_id": "Partnership", "subprogram_name": "GRB", **over}


def default_plan(sp, world, name, **over):
    return sp.op(75, json={"allocation_id": world.plan_allocation, "payload": plan_payload(), "target_group_ids": [world.group], "default_plan_name": name, **over})






@op(75)
def test_default_plan_unknown_allocation(sp, world, uniq):
    refused(default_plan(sp, world, uniq, allocation_id=BIG), 403, 400)




@op(66, 67, 76, 77)
def test_default_efficiency_life(sp, world, uniq):
    plan = ok(default_plan(sp, world, uniq))["id"]
    did = ok(sp.op(77, json={"default_observationplan_request_id": plan, "payload": {"modelName": "kilonova", "optionalInjectionParameters": {}}}))["id"]
    one = ok(sp.op(76, default_survey_efficiency_id=did))
    assert one["default_observationplan_request_id"] == plan
    row = next(r for r in ok(sp.op(67)) if r["id"] == did)
    assert row["default_observationplan_request"]["id"] == plan
    ok(sp.op(66, default_survey_efficiency_id=did))
    refused(sp.op(76, default_survey_efficiency_id=did))
    refused(sp.op(66, default_survey_efficiency_id=did))
    ok(sp.op(64, default_observation_plan_id=plan))




