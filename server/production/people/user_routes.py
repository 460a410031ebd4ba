"""Routes of users, groups and roles."""

from __future__ import annotations

from server.common.errors import BadRequest, Conflict
from server.production.common.documents import Document
from server.production.common.fields import Field, number, takes
from server.production.common.handler import ProductionHandler
from server.production.people import groups, users
from server.rest.context import Context
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

MAX_NAME = 200


class NameHandler(ProductionHandler):
    """A handler of things with names, which may hold any character."""

    def matching_body(self, name: str, what: str) -> Document:
        """The body, whose name must be that of the path if it has one."""
        body = self.body(required=False)
        if body.get("name", name) != name:
            raise BadRequest(f"{what} name mismatch")
        _check_name(name, what)
        return body


def _check_name(name: str, what: str) -> None:
    if len(name) > MAX_NAME or "\0" in name:
        raise BadRequest(f"{what} name is too long, or holds a NUL character")


def _names(body: Document, field: str, problem: str) -> list[str]:
    if field not in body:
        raise BadRequest(f"missing {field}")
    value = body[field]
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadRequest(problem)
    return list(dict.fromkeys(value))


async def _known_groups(ctx: Context, body: Document) -> list[str]:
    names = _names(body, "groups", "invalid group")
    if await groups.unknown_groups(ctx, names):
        raise BadRequest("invalid group")
    return names


async def _known_roles(ctx: Context, body: Document) -> list[str]:
    names = _names(body, "roles", "invalid role name")
    if await groups.unknown_roles(ctx, names):
        raise BadRequest("invalid role name")
    return names


def _priority(body: Document) -> float:
    priority = body.get("priority")
    if not number(priority) or not 0 <= priority <= 1:
        raise BadRequest("priority should be a number between 0 and 1")
    return priority


# -- roles


class Roles(ProductionHandler):
    """All roles."""

    @allow("admin")
    async def get(self) -> None:
        self.send({"results": await groups.roles(self.ctx)})


class Role(NameHandler):
    """One role."""

    @allow("admin")
    async def get(self, name: str) -> None:
        self.send(await groups.get_role(self.ctx, name))

    @allow("admin")
    @takes(Field("name", "str"))
    async def put(self, name: str) -> None:
        """Add the role."""
        self.matching_body(name, "role")
        await groups.add_role(self.ctx, name)
        self.send({})

    @allow("admin")
    async def delete(self, name: str) -> None:
        await groups.remove_role(self.ctx, name)
        self.send({})


# -- groups


class Groups(NameHandler):
    """All groups."""

    @allow("admin", "client", "system")
    async def get(self) -> None:
        self.send({"results": await groups.groups(self.ctx)})

    @allow("admin")
    @takes(Field("name", "str", required=True))
    async def post(self) -> None:
        """Add a group."""
        body = self.update_fields() if self.body(required=False) else {}
        name = body.get("name")
        if not isinstance(name, str) or not name:
            raise BadRequest("missing name")
        _check_name(name, "group")
        group_id = await groups.add_group(self.ctx, name, body)
        self.set_header("Location", f"/groups/{group_id}")
        self.send({"result": f"/groups/{group_id}"}, 201)


class Group(NameHandler):
    """One group, by name or id."""

    @allow("admin", "client", "system")
    async def get(self, name: str) -> None:
        self.send(await groups.get_group(self.ctx, name))

    @allow("admin")
    @takes(Field("name", "str"))
    async def put(self, name: str) -> None:
        """Add the group, or change its fields."""
        fields = self.update_fields() if self.matching_body(name, "group") else {}
        await groups.add_group(self.ctx, name, fields)
        self.send({})

    @allow("admin")
    async def delete(self, name: str) -> None:
        await groups.remove_group(self.ctx, name)
        self.send({})


# -- users


class Users(ProductionHandler):
    """All users."""

    @allow("admin")
    async def get(self) -> None:
        """Users; filter username."""
        self.send({"results": await users.find(self.ctx, self.query("username"))})

    @allow("admin")
    @takes(Field("username", "str", required=True), Field("groups", "list"), Field("roles", "list"),
           Field("priority", "number"))
    async def post(self) -> None:
        """Add a user; without groups and roles, of none."""
        body = self.body()
        username = body.get("username")
        if not isinstance(username, str) or not username:
            raise BadRequest("missing username")
        _check_name(username, "user")
        user_id = await users.create(self.ctx, username, **await self.given(body))
        if user_id is None:
            raise BadRequest("duplicate username")
        self.set_header("Location", f"/users/{user_id}")
        self.send({"result": f"/users/{user_id}"}, 201)

    async def given(self, body: Document) -> Document:
        """The fields of a new user that the body gives. Raises BadRequest."""
        fields: Document = {}
        if "groups" in body:
            fields["groups"] = await _known_groups(self.ctx, body)
        if "roles" in body:
            fields["roles"] = await _known_roles(self.ctx, body)
        if "priority" in body:
            fields["priority"] = _priority(body)
        return fields


class User(ProductionHandler):
    """One user, by name or id."""

    @allow("admin")
    async def get(self, user: str) -> None:
        self.send(await users.get(self.ctx, user))

    @allow("admin")
    async def put(self, user: str) -> None:
        """Add a user of that name."""
        _check_name(user, "user")
        if await users.create(self.ctx, user) is None:
            raise Conflict("duplicate username")
        self.send({})

    @allow("admin")
    async def delete(self, user: str) -> None:
        await users.remove(self.ctx, user)
        self.send({})


class UserPriority(ProductionHandler):
    """A user's weight among others."""

    @allow("admin")
    @takes(Field("priority", "number", required=True))
    async def put(self, user: str) -> None:
        """Set the weight, between 0 and 1."""
        await users.change(self.ctx, user, {"$set": {"priority": _priority(self.body())}})
        self.send({})


class UserGroups(ProductionHandler):
    """A user's groups."""

    @allow("admin")
    async def get(self, user: str) -> None:
        self.send({"results": (await users.get(self.ctx, user))["groups"]})

    @allow("admin")
    @takes(Field("group", "str", required=True))
    async def post(self, user: str) -> None:
        """Add the user to a group."""
        body = self.body()
        if "group" not in body:
            raise BadRequest("missing group")
        group = body["group"]
        if not isinstance(group, str) or await groups.unknown_groups(self.ctx, [group]):
            raise BadRequest("invalid group")
        await users.change(self.ctx, user, {"$addToSet": {"groups": group}})
        self.send({})

    @allow("admin")
    @takes(Field("groups", "list", required=True))
    async def put(self, user: str) -> None:
        """Set the user's groups."""
        names = await _known_groups(self.ctx, self.body())
        await users.change(self.ctx, user, {"$set": {"groups": names}})
        self.send({})


class UserRoles(ProductionHandler):
    """A user's roles."""

    @allow("admin")
    @takes(Field("roles", "list", required=True))
    async def put(self, user: str) -> None:
        """Set the user's roles."""
        names = await _known_roles(self.ctx, self.body())
        await users.change(self.ctx, user, {"$set": {"roles": names}})
        self.send({})


ROUTES = [
    Route("/roles", Roles, "auth"),
    Route("/roles/{name:any}", Role, "auth"),
    Route("/groups", Groups, "auth"),
    Route("/groups/{name:any}", Group, "auth"),
    Route("/users", Users, "auth"),
    Route("/users/{user:any}", User, "auth"),
    Route("/users/{user:any}/priority", UserPriority, "auth"),
    Route("/users/{user:any}/groups", UserGroups, "auth"),
    Route("/users/{user:any}/roles", UserRoles, "auth"),
]
