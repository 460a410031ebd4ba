"""Routes of dataset permissions."""

from __future__ import annotations

from typing import Any

from server.common.errors import BadRequest, Forbidden, NotFound
from server.production.common import access
from server.production.common.fields import Field, takes
from server.production.common.handler import ProductionHandler
from server.production.people import groups
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class Auths(ProductionHandler):
    """Asking for permission by the name of a rule."""

    @allow("admin", "system")
    @takes(Field("name", "str", required=True), Field("value", "str", required=True),
           Field("role", "str", required=True), Field("username", "str", required=True),
           Field("groups", "list", required=True))
    async def post(self) -> None:
        """May a user with these groups do that? name: dataset_id, value: the dataset, role: read or write."""
        body = self.body()
        for name in ("name", "value", "role", "username"):
            if not isinstance(body.get(name), str):
                raise BadRequest(f"missing {name}")
        member_of = body.get("groups")
        if not isinstance(member_of, list):
            raise BadRequest("missing groups")
        rules = await self.ctx.db.auths.find_one({"dataset_id": body["value"]})
        if body["name"] != "dataset_id" or rules is None or body["role"] not in ("read", "write"):
            raise Forbidden("attr not found")
        allowed = {str(group) for group in member_of} & set(rules[f"{body['role']}_groups"])
        if not allowed and body["username"] not in rules.get(f"{body['role']}_users", ()):
            raise Forbidden("authorization failed")
        self.send({})


class DatasetAuths(ProductionHandler):
    """Who may read and change a dataset."""

    @allow("admin")
    async def get(self, dataset_id: str) -> None:
        rules = await self.ctx.db.auths.find_one({"dataset_id": dataset_id}, {"_id": 0, "dataset_id": 0})
        if rules is None:
            raise NotFound("Dataset not found")
        self.send(rules)

    @allow("admin", "system")
    @takes(Field("read_groups", "list", required=True), Field("write_groups", "list", required=True))
    async def put(self, dataset_id: str) -> None:
        """Set the groups that may read and write the dataset."""
        body = self.body()
        rules = {name: self.names(body, name) for name in ("read_groups", "write_groups")}
        for name in ("read_users", "write_users"):
            if name in body:
                rules[name] = self.names(body, name)
        named = [*rules["read_groups"], *rules["write_groups"]]
        if await groups.unknown_groups(self.ctx, named):
            raise BadRequest("invalid group name")
        await access.store_rules(self.ctx, dataset_id, rules)
        self.send({})

    def names(self, body: dict[str, Any], name: str) -> list[str]:
        if name not in body:
            raise BadRequest(f"missing {name}")
        value = body[name]
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise BadRequest(f"{name} should be a list of str")
        return list(dict.fromkeys(value))


class AuthAction(ProductionHandler):
    """Whether the caller may read or change a dataset."""

    @allow("admin", "client", "system", "pilot", "user")
    async def get(self, dataset_id: str, action: str) -> None:
        """The answer is 200 or 403."""
        if action not in ("read", "write"):
            raise BadRequest("invalid action")
        rules = await self.ctx.db.auths.find_one({"dataset_id": dataset_id})
        if rules is None:
            raise Forbidden("Dataset not found")
        if not self.user.bypasses_datasets and not access.is_allowed(rules, self.user, action):
            raise Forbidden("Denied")
        self.send({})


ROUTES = [
    Route("/auths", Auths, "auth"),
    Route("/auths/{dataset_id}", DatasetAuths, "auth"),
    Route("/auths/{dataset_id}/actions/{action}", AuthAction, "auth"),
]
