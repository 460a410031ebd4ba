"""Claims whose answer cannot be made: what was lent waits again at once."""

from __future__ import annotations

from typing import Any

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application

from iceprod.tokens import encode
from server.production.leases import claim_routes
from server.production.sites import exchange_routes, pilots
from server.production.tasks import kinds
from server.production.tasks.task_store import NewTask
from server.rest.context import Context
from tests.unit.production.conftest import Maker

CLAIM = '{"num": 1, "requirements": {"cpu": 1, "memory": 4}}'


@pytest.mark.parametrize("way", ["exchange", "queue_many"])
async def test_what_cannot_be_told_is_not_lent(
        ctx: Context, make: Maker, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    async def fails(*_: Any) -> Any:
        raise ZeroDivisionError("what to run cannot be read")

    monkeypatch.setattr(kinds, "payloads", fails)
    dataset = await make.dataset()
    await make.tasks(dataset, NewTask(0, "a"))
    pilot_id = await pilots.create(ctx, {"queue_host": "q", "queue_version": "1", "resources": {"cpu": 1}})
    path, body = (f"/pilots/{pilot_id}/exchange", f'{{"tasks": [], "claim": {CLAIM}}}')
    if way == "queue_many":
        path, body = "/task_actions/queue_many", CLAIM
    routes = [route.spec() for route in (*claim_routes.ROUTES, *exchange_routes.ROUTES)]
    server, (listening, port) = HTTPServer(Application(routes, context=ctx)), bind_unused_port()
    server.add_socket(listening)
    headers = {"Authorization": f"Bearer {encode('s' * 48, 'ada', ['system'])}"}
    answer = await AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}{path}", method="POST", body=body,
                                           headers=headers, raise_error=False)
    server.stop()
    assert answer.code == 500
    task = await ctx.db.tasks.find_one({"dataset_id": dataset})
    assert task is not None
    assert task["status"] == "waiting"
