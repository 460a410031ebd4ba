"""Pages about rarer things: a log, a standing rule that fired, a plan, a form, a rehearsal."""

from __future__ import annotations

from tests.support.alerts import event_bytes
from tests.support.api import Api
from tests.support.desk import ok
from tests.support.scans import wait_for
from tests.support.standing import PLAN, watch

__all__ = ["build"]


def build(api: Api, dataset_id: str, failed_task: str) -> dict[str, str]:
    """Make what they show; their paths by name."""
    return _of_work(api, dataset_id, failed_task) | _of_desk(api) | _of_alerts(api)


def _of_work(api: Api, dataset_id: str, task_id: str) -> dict[str, str]:
    """The log of a task that failed."""
    logs = api.session("admin").get(f"/datasets/{dataset_id}/tasks/{task_id}/logs").json()["logs"]
    log = next(log["log_id"] for log in logs if log["name"] == "stderr")
    return {"log": f"/web/datasets/{dataset_id}/logs/{log}"}


def _of_desk(api: Api) -> dict[str, str]:
    """A standing rule that fired, a plan, a map with a candidate, and the form that asks for a follow-up."""
    admin = api.session("admin")
    here = watch(api, admin)
    number = here.default_followup("Blazar", default_followup_name="images of blazars")
    obj = here.judge("Blazar")
    found = here.map(ra=80.0, dec=40.0, error=1.0)
    body = {"localization_id": found["localization_id"], "allocation_id": here.plan_allocation,
            "payload": {**PLAN, "filters": "ztfg,ztfr", "start_date": "2024-01-01", "end_date": "2024-01-02"}}
    plan = ok(admin.post("/api/observation_plan", json=body))["id"]
    wait_for(lambda: ok(admin.get(f"/api/observation_plan/{plan}"))["status"] != "pending", "the plan", 120.0)
    wait_for(lambda: here.requests(obj), "the request of the rule", 120.0)
    return {"desk-map-watched": f"/web/desk/maps/{found['localization_id']}",
            "desk-plans": "/web/desk/plans", "desk-plan": f"/web/desk/plans/{plan}",
            "desk-rule": f"/web/desk/rules/followup:{number}?days=5",
            "desk-ask": f"/web/desk/ask?obj={obj}&allocation={here.allocation}"}


def _of_alerts(api: Api) -> dict[str, str]:
    """A rehearsal."""
    answer = api.session("system").post("/alerts?replay=night", data=event_bytes(6))
    assert answer.status_code == 200, answer.text
    return {"alert-replay": "/web/alert_replays/night"}
