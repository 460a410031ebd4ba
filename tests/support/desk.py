"""Helpers for tests of the desk: answers in its envelope, and a group with a stream, a filter and a user."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

import requests

from tests.support.api import Api, Session

__all__ = ["Night", "night", "ok", "refused"]


def ok(answer: requests.Response) -> Any:
    """The data of an answer that has to be a success."""
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body["status"] == "success"
    assert body["version"]
    return body["data"]


def refused(answer: requests.Response, code: int = 400, text: str = "") -> str:
    """The message of an answer that has to be an error."""
    assert answer.status_code == code, answer.text
    body = answer.json()
    assert (body["status"], body["data"]) == ("error", {})
    assert text in body["message"]
    return str(body["message"])


@dataclass
class Night:
    """A group with a stream, a filter, and a user who may upload."""

    session: Session
    group: int
    stream: int
    filter: int
    made: list[str] = field(default_factory=list)

    def post(self, name: str, **more: Any) -> list[int]:
        body = {"id": name, "ra": 10.0, "dec": 5.0, "filter_ids": [self.filter],
                "passed_at": "2023-03-20T00:00:00", **more}
        self.made.append(name)
        ids: list[int] = ok(self.session.post("/api/candidates", json=body))["ids"]
        return ids

    def page(self, **params: Any) -> dict[str, Any]:
        found: dict[str, Any] = ok(self.session.get("/api/candidates", params={"numPerPage": 500, **params}))
        return found

    def names(self, **params: Any) -> list[str]:
        return [row["id"] for row in self.page(**params)["candidates"]]


def night(api: Api, admin: Session) -> Night:
    """A group of its own with all that a shift needs, made by an admin."""
    name = f"shifter {uuid.uuid4().hex[:8]}"
    session = api.session("user", username=name, groups=())
    user = ok(session.get("/api/internal/profile"))["id"]
    group = ok(admin.post("/api/groups", json={"name": f"{name}'s group"}))["id"]
    ok(admin.post(f"/api/groups/{group}/users", json={"userID": user, "admin": True}))
    stream = ok(admin.post("/api/streams", json={"name": f"{name}'s stream"}))["id"]
    ok(admin.post(f"/api/groups/{group}/streams", json={"stream_id": stream}))
    rule = {"name": f"{name}'s filter", "stream_id": stream, "group_id": group}
    return Night(session, group, stream, ok(session.post("/api/filters", json=rule))["id"])
