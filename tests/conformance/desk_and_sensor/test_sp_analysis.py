"""K10: analysis services, analyses, products, default analyses."""
import base64
import json

import pytest
from client import ok, refused, until
from loopback import PNG

op = pytest.mark.op
BIG = 987654321


def start(sp, world, sid, obj, number=26, **over):
    return sp.op(number, resource_id=obj, analysis_service_id=sid, json={"analysis_parameters": {"mode": "success"}, "group_ids": [world.group], **over})


def finished(sp, aid):
    def look():
        data = ok(sp.op(27, analysis_id=aid))
        return data if data["status"] not in ("queued", "pending") else None

    return until(look, 30, what=f"analysis {aid} finished")


@pytest.fixture(scope="module")
def service(world):
    return world.service()


@pytest.fixture(scope="module")
def upload_service(world):
    return world.service(upload_only=True)


@pytest.fixture(scope="module")
def uploaded(sp, world, upload_service):
    obj = world.obj()
    body = {"analysis": {"results": {"format": "json", "data": {"chi2": 2.5}}, "plots": [{"format": "png", "data": base64.b64encode(PNG).decode()}]},
            "message": "by hand", "show_plots": True, "group_ids": [world.group]}
    return obj, ok(sp.op(22, resource_id=obj, analysis_service_id=upload_service, json=body))["id"]


@op(19, 21)
def test_service_read_and_list(sp, world, service):
    one = ok(sp.op(19, analysis_service_id=service))
    assert one["id"] == service
    assert one["analysis_type"] == "lightcurve_fitting"
    assert world.group in [g["id"] for g in one["groups"]]
    rows = ok(sp.op(21))
    mine = next(r for r in rows if r["id"] == service)
    assert mine["optional_analysis_parameters"] == {"mode": ["success", "failure"]}


@op(19, 21)
def test_service_secrets_are_not_shown(sp, world):
    sid = world.service(authentication_type="header_token", _authinfo=json.dumps({"header_token": {"Authorization": "Bearer very-secret"}}))
    assert b"very-secret" not in sp.op(19, analysis_service_id=sid).content
    assert b"very-secret" not in sp.op(21).content




@op(20)
def test_service_delete_takes_its_analyses(sp, world):
    sid = world.service(upload_only=True)
    obj = world.obj()
    aid = ok(sp.op(22, resource_id=obj, analysis_service_id=sid, json={"analysis": {"results": {"format": "json", "data": {}}}, "group_ids": [world.group]}))["id"]
    ok(sp.op(20, analysis_service_id=sid))
    refused(sp.op(19, analysis_service_id=sid), 403, 404, 400)
    refused(sp.op(27, analysis_id=aid), 403, 404, 400)




@op(26, 27)
@pytest.mark.slow
def test_run_calls_the_service_and_takes_the_result(sp, world, service, lb):
    obj = world.obj(redshift=0.1)
    aid = ok(start(sp, world, service, obj))["id"]
    data = finished(sp, aid)
    assert data["status"] == "completed"
    assert data["obj_id"] == obj
    assert data["analysis_service_id"] == service
    assert data["num_plots"] == 1
    assert "data" not in data
    assert "token" not in data
    call = next(c for c in lb.seen("POST", "/analysis") if c["body"].get("resource_id") == obj)["body"]
    assert call["callback_method"] == "POST"
    assert call["analysis_resource_type"] == "obj"
    assert "0.1" in call["inputs"]["redshift"]
    done = until(lambda: [c for c in lb.calls if c["method"] == "CALLBACK" and c["path"] == call["callback_url"]], 10, what="second call-back")[0]
    assert done["first"] == 200 and done["second"] in (400, 403), "the token works once"
    full = ok(sp.op(27, analysis_id=aid, params={"includeAnalysisData": "true"}))
    assert full["data"]["results"]["data"]["chi2"] == 1.25






@op(26)
def test_run_refused(sp, world, service, upload_service, uniq):
    obj = world.obj()
    refused(start(sp, world, BIG, obj), 403, 404, 400)
    refused(start(sp, world, service, obj, analysis_parameters={"colour": "red"}))
    refused(start(sp, world, service, obj, group_ids=[BIG]), 400, 403)
    refused(start(sp, world, service, uniq), 404, 400)
    refused(start(sp, world, upload_service, obj), 403, 400)


@op(30)
def test_run_without_object(sp, world, service):
    refused(sp.op(30, analysis_service_id=service, json={"analysis_parameters": {}, "group_ids": [world.group]}))


@op(30)
def test_run_with_the_object_in_the_body(sp, world, service):
    obj = world.obj()
    aid = ok(sp.op(30, analysis_service_id=service, json={"obj_id": obj, "analysis_parameters": {}, "group_ids": [world.group]}))["id"]
    assert ok(sp.op(27, analysis_id=aid))["obj_id"] == obj




@op(22)
def test_upload_takes_the_field_name_of_the_seed(sp, world, upload_service):
    obj = world.obj()
    aid = ok(sp.op(22, resource_id=obj, analysis_service_id=upload_service, json={"results": {"chi2": 7.5}, "group_ids": [world.group]}))["id"]
    assert ok(sp.op(31, analysis_id=aid, product_type="results", plot_number=0))["chi2"] == 7.5




@op(22)
def test_upload_refuses_pickles(sp, world, upload_service):
    """joblib results are python pickles: loading one runs code."""
    body = {"analysis": {"results": {"format": "joblib", "data": base64.b64encode(b"\x80\x04.").decode()}}, "group_ids": [world.group]}
    refused(sp.op(22, resource_id=world.obj(), analysis_service_id=upload_service, json=body))


@op(27, 29)
def test_analysis_read_flags_and_filters(sp, uploaded, upload_service, uniq):
    obj, aid = uploaded
    assert "filename" not in ok(sp.op(27, analysis_id=aid))
    assert ok(sp.op(27, analysis_id=aid, params={"includeFilename": "true"}))["filename"]
    assert [r["id"] for r in ok(sp.op(29, params={"objID": obj}))] == [aid]
    assert aid in [r["id"] for r in ok(sp.op(29, params={"analysisServiceID": upload_service}))]
    assert aid not in [r["id"] for r in ok(sp.op(29, params={"summaryOnly": "true"}))]
    refused(sp.op(29, params={"objID": uniq}), 404, 400)
    refused(sp.op(27, analysis_id=BIG), 403, 404, 400)
    refused(sp.op(29, analysis_resource_type="obj", params={"objID": uniq}), 404, 400)




@op(31)
def test_products(sp, uploaded):
    _, aid = uploaded
    assert ok(sp.op(31, analysis_id=aid, product_type="results", plot_number=0))["chi2"] == 2.5
    a = sp.op(31, analysis_id=aid, product_type="plots", plot_number=0)
    assert a.status == 200 and a.content == PNG and a.headers["Content-Type"].startswith("image/png"), a
    refused(sp.op(31, analysis_id=aid, product_type="plots", plot_number=7), 404, 400)
    refused(sp.op(31, analysis_id=aid, product_type="corner", plot_number=0), 404, 400)
    refused(sp.op(31, analysis_id=BIG, product_type="results", plot_number=0), 403, 404, 400)


@op(24, 28)
@pytest.mark.parametrize("number", [28, 24])
def test_analysis_delete(sp, world, upload_service, number):
    obj = world.obj()
    aid = ok(sp.op(22, resource_id=obj, analysis_service_id=upload_service, json={"analysis": {"results": {"format": "json", "data": {}}}, "group_ids": [world.group]}))["id"]
    ok(sp.op(number, obj_id=obj, analysis_id=aid))
    refused(sp.op(27, analysis_id=aid), 403, 404, 400)


# default analyses --------------------------------------------------------------------------------

def rule(sp, world, sid, cls="TDE", **over):
    body = {"default_analysis_parameters": {"mode": "success"}, "source_filter": {"classifications": [{"name": cls, "probability": 0.5}]}, "daily_limit": 5,
            "group_ids": [world.group], **over}
    return ok(sp.companion("POST", f"/api/analysis_service/{sid}/default_analysis", json=body))["id"]




