"""K7 allocations, K8 follow-up requests and facility messages, K9 assignments."""
import csv
import io

import pytest
from client import ok, refused

op = pytest.mark.op
BIG = 987654321


def read(sp, rid):
    return ok(sp.companion("GET", f"/api/followup_request/{rid}"))


# allocations ------------------------------------------------------------------------------



@op(6)
@pytest.mark.parametrize("over", [{"group_id": BIG}, {"instrument_id": BIG}, {"hours_allocated": "many"}, {"hours_allocated": None}], ids=lambda o: str(o))
def test_allocation_refused(sp, world, over):
    refused(sp.op(6, json=world.allocation_body(**over)))


@op(6)
@pytest.mark.parametrize("missing", ["group_id", "instrument_id", "hours_allocated"])
def test_allocation_needs(sp, world, missing):
    body = world.allocation_body()
    del body[missing]
    refused(sp.op(6, json=body))










@op(1)
@pytest.mark.parametrize(("fmt", "magic"), [(None, b"%PDF"), ("pdf", b"%PDF"), ("png", b"\x89PNG")])
def test_allocation_report(sp, world, fmt, magic):
    world.allocation
    a = sp.op(1, instrument_id=world.instrument, params={"output_format": fmt} if fmt else None)
    assert a.status == 200 and a.content.startswith(magic), a




# follow-up requests -------------------------------------------------------------------------

@op(85)
def test_request_is_submitted(sp, world):
    obj = world.obj()
    row = read(sp, world.request(obj))
    assert row["obj_id"] == obj
    assert row["allocation_id"] == world.allocation
    assert row["status"] == "submitted"
    assert row["payload"]["observation_choices"] == ["ztfr"]




@op(85)
@pytest.mark.parametrize("over", [
    {"allocation_id": BIG}, {"payload": {}}, {"payload": "text"}, {"bad": "priority"}, {"bad": "filter"}, {"obj_id": None},
], ids=["allocation", "empty payload", "payload type", "priority 9", "unknown filter", "no object"])
def test_request_refused(sp, world, over):
    body = {"obj_id": world.obj(), "allocation_id": world.allocation, "payload": world.payload(), "target_group_ids": [world.group]}
    bad = over.get("bad")
    if bad == "priority":
        body["payload"]["priority"] = 9
    elif bad == "filter":
        body["payload"]["observation_choices"] = ["sunglasses"]
    else:
        body.update(over)
    refused(sp.op(85, json=body))


@op(83)
def test_request_status_update_is_local(sp, world, lb):
    rid = world.request(allocation_id=world.remote_allocation)
    before = len(lb.seen("POST", "/facility"))
    ok(sp.op(83, request_id=rid, json={"status": "observed by hand"}))
    assert read(sp, rid)["status"] == "observed by hand"
    assert len(lb.seen("POST", "/facility")) == before




@op(84)
def test_request_delete(sp, world):
    rid = world.request()
    ok(sp.op(84, request_id=rid))
    a = sp.companion("GET", f"/api/followup_request/{rid}")
    assert a.status == 400 or a.json["data"]["status"] == "deleted"
    refused(sp.op(84, request_id=BIG))


@op(83, 84, 85)
def test_request_writes_need_upload_data(sp_view, world):
    rid = world.request()
    refused(sp_view.op(85, json={"obj_id": world.obj(), "allocation_id": world.allocation, "payload": world.payload()}), 401)
    refused(sp_view.op(83, request_id=rid, json={"status": "x"}), 401)
    refused(sp_view.op(84, request_id=rid), 401)


@op(79, 80)
def test_request_watch_list(sp, world):
    rid = world.request()
    ok(sp.op(79, followup_request_id=rid))
    refused(sp.op(79, followup_request_id=rid))
    ok(sp.op(80, followup_request_id=rid))
    refused(sp.op(80, followup_request_id=rid))
    refused(sp.op(79, followup_request_id=BIG))


@op(86)
def test_photometry_request_without_get_support(sp, world):
    refused(sp.op(86, request_id=world.request()))
    refused(sp.op(86, request_id=BIG))


# schedule and ranking ---------------------------------------------------------------------------

NIGHT = {"observationStartDate": "2031-03-15T02:00:00", "observationEndDate": "2031-03-15T14:00:00"}


@op(81)
@pytest.mark.slow
def test_schedule_csv(sp, world):
    obj = world.obj(ra=150.0, dec=30.0)
    world.request(obj, payload=world.payload(start_date="2031-03-14", end_date="2031-03-18"))
    a = sp.op(81, instrument_id=world.instrument, params={"sourceID": obj, "output_format": "csv", **NIGHT})
    assert a.status == 200, a
    rows = list(csv.DictReader(io.StringIO(a.r.text)))
    assert rows
    assert all(r["object_id"] == obj for r in rows)
    assert {"request_id", "ra", "dec", "observation_start", "observation_end", "exposure_time", "filter"} <= set(rows[0])


@op(81)
@pytest.mark.slow
@pytest.mark.parametrize(("fmt", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF")])
def test_schedule_plot(sp, world, fmt, magic):
    obj = world.obj(ra=150.0, dec=30.0)
    world.request(obj)
    a = sp.op(81, instrument_id=world.instrument, params={"sourceID": obj, "output_format": fmt, **NIGHT})
    assert a.status == 200 and a.content.startswith(magic), a


@op(81)
def test_schedule_refused(sp, world, uniq):
    refused(sp.op(81, instrument_id=BIG))
    refused(sp.op(81, instrument_id=world.instrument, params={"sourceID": uniq, **NIGHT}), hint="at least one")
    refused(sp.op(81, instrument_id=world.instrument, params={"magnitudeRange": "(1,2,3)", **NIGHT}))


@op(82)
def test_prioritize_by_localization(sp, world):
    _, _, loc_id = world.localization
    ra, dec = world.CENTER
    rids = [world.request(world.obj(ra, dec + d)) for d in (0.0, 0.55, 2.5)]
    ok(sp.op(82, json={"requestIds": rids, "priorityType": "localization", "localizationId": loc_id, "minimumPriority": 1, "maximumPriority": 5}))
    got = [read(sp, r)["payload"]["priority"] for r in rids]
    assert got[0] == 5 and got[2] == 1 and 1 < got[1] < 5, f"centre highest, outside lowest: {got}"


@op(82)
def test_prioritize_single_request_gets_the_maximum(sp, world):
    _, _, loc_id = world.localization
    rid = world.request(world.obj(*world.CENTER))
    ok(sp.op(82, json={"requestIds": [rid], "priorityType": "localization", "localizationId": loc_id}))
    assert read(sp, rid)["payload"]["priority"] == 5




# facility messages ---------------------------------------------------------------------------------

@op(78)
def test_facility_message_sets_the_status(sp, world):
    rid = world.request()
    ok(sp.op(78, json={"followup_request_id": rid, "new_status": "observed successfully"}))
    assert read(sp, rid)["status"] == "observed successfully"


@op(78)
def test_facility_message_refused(sp, world):
    rid = world.request()
    refused(sp.op(78, json={"new_status": "x"}), hint="followup_request_id")
    refused(sp.op(78, json={"followup_request_id": BIG, "new_status": "x"}))
    refused(sp.op(78, json={"followup_request_id": rid, "new_status": "x", "superfluous": 1}))
    refused(sp.op(78, json={"followup_request_id": rid}))
    assert read(sp, rid)["status"] == "submitted"


@op(78)
def test_facility_message_needs_the_listener_acl(sp, sp_view, world):
    rid = world.request()
    refused(sp_view.op(78, json={"followup_request_id": rid, "new_status": "forged"}), 400, 401)
    assert read(sp, rid)["status"] == "submitted"


# assignments ----------------------------------------------------------------------------------------

def assign(sp, world, obj=None, **over):
    return sp.op(36, json={"obj_id": obj or world.obj(ra=150.0, dec=30.0), "run_id": world.run, "priority": "5", "comment": "please", **over})


@op(32, 35, 36)
def test_assignment_create_read_list(sp, world):
    obj = world.obj(ra=150.0, dec=30.0)
    aid = ok(assign(sp, world, obj))["id"]
    one = ok(sp.op(32, assignment_id=aid))
    assert (one["obj_id"], one["run_id"], str(one["priority"]), one["status"]) == (obj, world.run, "5", "pending")
    assert one["rise_time_utc"]
    assert one["set_time_utc"]
    assert aid in [a["id"] for a in ok(sp.op(35))]


@op(36)
def test_assignment_once_per_run(sp, world):
    obj = world.obj()
    ok(assign(sp, world, obj))
    refused(assign(sp, world, obj))


@op(36)
@pytest.mark.parametrize("over", [{"priority": "6"}, {"run_id": BIG}, {"priority": None}], ids=lambda o: str(o))
def test_assignment_refused(sp, world, over):
    refused(assign(sp, world, **over))


@op(33)
def test_assignment_update(sp, world):
    aid = ok(assign(sp, world))["id"]
    ok(sp.op(33, assignment_id=aid, json={"status": "done", "priority": "1", "comment": "two spectra"}))
    one = ok(sp.op(32, assignment_id=aid))
    assert (one["status"], str(one["priority"]), one["comment"]) == ("done", "1", "two spectra")
    refused(sp.op(33, assignment_id=BIG, json={"status": "done"}))


@op(34, 32)
def test_assignment_delete(sp, world):
    aid = ok(assign(sp, world))["id"]
    ok(sp.op(34, assignment_id=aid))
    refused(sp.op(32, assignment_id=aid))
    refused(sp.op(34, assignment_id=aid))
    refused(sp.op(32, assignment_id="abc"))


@op(33, 34, 36)
def test_assignment_writes_need_upload_data(sp, sp_view, world):
    aid = ok(assign(sp, world))["id"]
    refused(assign(sp_view, world), 401)
    refused(sp_view.op(33, assignment_id=aid, json={"status": "done"}), 401)
    refused(sp_view.op(34, assignment_id=aid), 401)
