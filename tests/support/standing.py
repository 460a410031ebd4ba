"""What tests of standing requests need: a group with an instrument, allocations, a taxonomy, and objects."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from tests.support.api import Api, Session
from tests.support.desk import Night, night, ok

__all__ = ["EXPOSURE", "PLAN", "TREE", "Watch", "watch"]

TREE = {"class": "Counterpart", "subclasses": [
    {"class": "Blazar"}, {"class": "TDE"}, {"class": "Supernova", "subclasses": [{"class": "SN Ia"}]}]}
EXPOSURE = {"observation_choices": ["ztfr"], "exposure_time": 300, "exposure_counts": 1, "maximum_airmass": 2,
            "minimum_lunar_distance": 30, "priority": 1}
PLAN = {"filters": "ztfr", "exposure_time": 300, "maximum_airmass": 2.5, "integrated_probability": 90,
        "program_id": "Partnership", "subprogram_name": "GRB"}


@dataclass
class Watch:
    """A group that watches, with all that its rules need; `admin` may do everything."""

    admin: Session
    night: Night
    taxonomy: int
    telescope: int
    instrument: int
    allocation: int
    plan_allocation: int

    @property
    def group(self) -> int:
        return self.night.group

    def judge(self, name: str, probability: float | None = None, session: Session | None = None,
              obj: str | None = None) -> str:
        """A new object gets a class; the object's name."""
        if obj is None:
            obj = f"obj{uuid.uuid4().hex[:10]}"
            self.night.post(obj)
        body = {"obj_id": obj, "classification": name, "taxonomy_id": self.taxonomy,
                "probability": probability, "group_ids": [self.group]}
        ok((session or self.admin).post("/api/classification", json=body))
        return obj

    def map(self, ra: float = 150.0, dec: float = 2.2, error: float = 0.5, **more: Any) -> dict[str, Any]:
        """A new event with a sky map of some second of 2024."""
        moment = datetime(2024, 1, 1) + timedelta(seconds=uuid.uuid4().int % 31_000_000)
        body = {"dateobs": moment.isoformat(), "skymap": {"ra": ra, "dec": dec, "error": error}, **more}
        answer: dict[str, Any] = ok(self.admin.post("/api/gcn_event", json=body))
        return answer

    def default_followup(self, name: str, **more: Any) -> int:
        body = {"allocation_id": self.allocation, "payload": EXPOSURE, "target_group_ids": [self.group],
                "source_filter": {"classification": name}, **more}
        return int(ok(self.admin.post("/api/default_followup_request", json=body))["id"])

    def default_plan(self, **more: Any) -> int:
        body = {"allocation_id": self.plan_allocation, "payload": PLAN, "target_group_ids": [self.group],
                **more}
        return int(ok(self.admin.post("/api/default_observation_plan", json=body))["id"])

    def requests(self, obj: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ok(self.admin.get("/api/followup_request", params={"sourceID": obj}))[
            "followup_requests"]
        return found

    def plans(self, localization_id: int) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = ok(self.admin.get(
            "/api/observation_plan", params={"localizationID": localization_id}))["requests"]
        return found

    def rule(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = ok(self.admin.get(f"/api/rules/{key}"))
        return found


def watch(api: Api, admin: Session, secret: str | None = None) -> Watch:
    """A group of its own; `secret` is what its allocation keeps of a facility."""
    mine, tag = night(api, admin), uuid.uuid4().hex[:8]
    taxonomy = ok(admin.post("/api/taxonomy", json={
        "name": tag, "version": "1", "hierarchy": TREE, "group_ids": [mine.group]}))["taxonomy_id"]
    telescope = ok(admin.post("/api/telescope", json={
        "name": tag, "nickname": tag, "lat": 33.36, "lon": -116.86, "elevation": 1706.0}))["id"]
    instrument = ok(admin.post("/api/instrument", json={
        "name": tag, "telescope_id": telescope, "filters": ["ztfg", "ztfr"], "api_classname": "GENERICAPI",
        "api_classname_obsplan": "ZTFMMAAPI", "field_fov_type": "rectangle",
        "field_fov_attributes": [1, 1]}))["id"]
    hours = {"group_id": mine.group, "instrument_id": instrument, "hours_allocated": 100}
    kept = {"_altdata": secret} if secret else {}
    allocation = ok(admin.post("/api/allocation", json=hours | kept))["id"]
    plan_allocation = ok(admin.post("/api/allocation", json=hours))["id"]
    return Watch(admin, mine, taxonomy, telescope, instrument, allocation, plan_allocation)
