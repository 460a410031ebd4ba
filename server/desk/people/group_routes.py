"""Groups and streams."""

from __future__ import annotations

from typing import Any

import msgspec

from server.desk.common.acls import SYSTEM_ADMIN, UPLOAD_DATA
from server.desk.common.bodies import Body, Id, Name, Text, takes
from server.desk.people import groups, people
from server.desk.people.handler import DeskHandler, needs
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class GroupBody(Body):
    """A new group; its maker is an admin of it."""

    name: Name
    nickname: Text | None = None
    description: Text | None = None
    private: bool = False
    group_admins: list[Id] = msgspec.field(default_factory=list)


class MemberBody(Body):
    """A user who joins a group, by id or name."""

    userID: Id | None = None
    user_id: Id | None = None
    username: Name | None = None
    admin: bool = False
    canSave: bool = True


class GroupStreamBody(Body):
    """A stream that a group shall read."""

    stream_id: Id


class StreamBody(Body):
    """A new stream."""

    name: Name
    altdata: Any = None


class Groups(DeskHandler):
    """Groups of the desk."""

    @allow("any")
    async def get(self) -> None:
        """The caller's groups, and all that they see."""
        seen = await groups.readable(self.ctx, self.who)
        mine = [group for group in seen if group["id"] in self.who.groups]
        self.success({"user_groups": mine, "user_accessible_groups": seen, "all_groups": seen})

    @needs(UPLOAD_DATA)
    @takes(GroupBody)
    async def post(self) -> None:
        """Make a group."""
        body = self.typed(GroupBody)
        for number in body.group_admins:
            await people.find_user(self.ctx, number)
        fields = {"nickname": body.nickname, "description": body.description, "private": body.private}
        number = await groups.add_group(self.ctx, self.who, body.name, fields, body.group_admins)
        self.success({"id": number})


class Group(DeskHandler):
    """One group."""

    @allow("any")
    async def get(self, group_id: str) -> None:
        """A group with its members."""
        row = await groups.find_group(self.ctx, self.who, self.number(group_id, "group_id"))
        self.success(groups.shown(row))


class GroupUsers(DeskHandler):
    """The members of a group."""

    @allow("any")
    @takes(MemberBody)
    async def post(self, group_id: str) -> None:
        """Let a user join the group."""
        number, body = self.number(group_id, "group_id"), self.typed(MemberBody)
        await groups.find_group(self.ctx, self.who, number)
        wanted = body.userID if body.userID is not None else body.user_id
        user = await people.named_or_numbered(self.ctx, wanted, body.username)
        await groups.add_member(self.ctx, self.who, number, user["_id"], body.admin, body.canSave)
        self.success({"id": user["_id"], "group_id": number, "user_id": user["_id"], "admin": body.admin})


class GroupUser(DeskHandler):
    """One member of a group."""

    @allow("any")
    async def delete(self, group_id: str, user_id: str) -> None:
        """Take a user out of the group."""
        await groups.remove_member(self.ctx, self.who, self.number(group_id, "group_id"),
                                   self.number(user_id, "user_id"))
        self.success()


class GroupStreams(DeskHandler):
    """The streams that a group reads."""

    @allow("any")
    @takes(GroupStreamBody)
    async def post(self, group_id: str) -> None:
        """Let the group read a stream."""
        number, body = self.number(group_id, "group_id"), self.typed(GroupStreamBody)
        await groups.attach_stream(self.ctx, self.who, number, body.stream_id)
        self.success({"id": body.stream_id, "group_id": number, "stream_id": body.stream_id})


class Streams(DeskHandler):
    """Streams of alerts."""

    @allow("any")
    async def get(self) -> None:
        """The streams that the caller reads."""
        self.success(self.cut(await groups.readable_streams(self.ctx, self.who)))

    @needs(SYSTEM_ADMIN)
    @takes(StreamBody)
    async def post(self) -> None:
        """Make a stream."""
        body = self.typed(StreamBody)
        self.success({"id": await groups.add_stream(self.ctx, self.who, body.name, body.altdata)})


class Stream(DeskHandler):
    """One stream."""

    @allow("any")
    async def get(self, stream_id: str) -> None:
        """A stream that the caller reads."""
        row = await groups.find_stream(self.ctx, self.who, self.number(stream_id, "stream_id"))
        self.success(groups.shown(row))


ROUTES = [
    Route("/api/groups", Groups, "desk"),
    Route("/api/groups/{group_id:any}", Group, "desk"),
    Route("/api/groups/{group_id:any}/users", GroupUsers, "desk"),
    Route("/api/groups/{group_id:any}/users/{user_id:any}", GroupUser, "desk"),
    Route("/api/groups/{group_id:any}/streams", GroupStreams, "desk"),
    Route("/api/streams", Streams, "desk"),
    Route("/api/streams/{stream_id:any}", Stream, "desk"),
]
