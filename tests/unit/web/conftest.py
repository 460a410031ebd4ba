"""A server of pages in the test's own loop, on a database of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from iceprod import tokens
from server.app import make_app
from server.rest.context import Context
from server.web.common.handler import COOKIE
from tests.unit.production.conftest import ctx, make, store_url

__all__ = ["Pages", "ctx", "make", "store_url"]


@dataclass
class Pages:
    """Asks for pages as somebody who is logged in."""

    url: str
    secret: str

    async def get(self, path: str, username: str = "alice", *roles: str) -> str:
        """A page's text."""
        token = tokens.encode(self.secret, username, list(roles or ("user",)), groups=["users"])
        answer = await AsyncHTTPClient().fetch(self.url + path, headers={"Cookie": f"{COOKIE}={token}"},
                                               follow_redirects=False, request_timeout=120)
        return str(answer.body.decode())


@pytest.fixture
async def pages(ctx: Context) -> AsyncIterator[Pages]:
    server, (socket,) = HTTPServer(make_app(ctx)), bind_sockets(0, "127.0.0.1")
    server.add_sockets([socket])
    yield Pages(f"http://127.0.0.1:{socket.getsockname()[1]}", ctx.secret)
    server.stop()
    await server.close_all_connections()
