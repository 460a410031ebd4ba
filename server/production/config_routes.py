"""Routes of configurations."""

from __future__ import annotations

from typing import Any

from server.errors import BadRequest
from server.handler import Handler
from server.production import configs
from server.production.handler import ProductionHandler
from server.routing import Route, allow

__all__ = ["ROUTES"]


class Config(ProductionHandler):
    """A dataset's configuration."""

    def json_body(self) -> Any:
        return Handler.json_body(self)  # it is kept as text, which takes any JSON

    @allow("admin", "client", "system", "pilot", "user")
    async def get(self, dataset_id: str) -> None:
        await self.readable(dataset_id)
        self.send(await configs.get(self.ctx, dataset_id))

    @allow("admin", "client", "system", "user")
    async def put(self, dataset_id: str) -> None:
        """Create or replace the configuration."""
        await self.writable(dataset_id)
        if len(self.request.body) > configs.MAX_BYTES:
            raise BadRequest(f"the configuration is larger than {configs.MAX_BYTES >> 20} MB")
        await configs.put(self.ctx, dataset_id, self.body())
        self.send({})


ROUTES = [Route("/config/{dataset_id}", Config, "config")]
