"""Users, their tokens, and who the caller is."""

from __future__ import annotations

import msgspec

from server.common.errors import BadRequest
from server.desk.common import acls
from server.desk.common.acls import MANAGE_USERS
from server.desk.common.bodies import Body, Id, Name, Text, takes
from server.desk.common.dates import parse_date
from server.desk.common.errors import Unauthorized
from server.desk.people import people
from server.desk.people.handler import DeskHandler, needs
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]


class UserBody(Body):
    """A new user."""

    username: Name
    first_name: Text | None = None
    last_name: Text | None = None
    contact_email: Text | None = None
    affiliations: list[Text] | None = None
    roles: list[Name] = msgspec.field(default_factory=list)
    expirationDate: Text | None = None


class TokenBody(Body):
    """A new token; without `acls` it may do all that its owner may."""

    name: Name
    acls: list[Name] | None = None
    user_id: Id | None = None


class Users(DeskHandler):
    """Users of the desk."""

    @needs(MANAGE_USERS)
    async def get(self) -> None:
        """All users."""
        rows = await people.users(self.ctx)
        self.success({"users": self.cut(rows), "totalMatches": len(rows)})

    @needs(MANAGE_USERS)
    @takes(UserBody)
    async def post(self) -> None:
        """Add a user before their first visit."""
        body = self.typed(UserBody)
        if unknown := set(body.roles) - set(acls.ROLES):
            raise BadRequest(f"roles: {min(unknown)!r} is none of {', '.join(acls.ROLES)}")
        if not acls.of_roles(body.roles) <= self.who.acls and not self.who.system:
            raise Unauthorized("Insufficient permissions: these roles allow more than yours")
        fields = {name: getattr(body, name) for name in (
            "first_name", "last_name", "contact_email", "affiliations", "roles")}
        if body.expirationDate is not None:
            fields["expires"] = parse_date(body.expirationDate, "expirationDate")
        self.success({"id": await people.add_user(self.ctx, body.username, fields)})


class User(DeskHandler):
    """One user."""

    @allow("any")
    async def get(self, user_id: str) -> None:
        """A user, by id."""
        self.success(people.shown_user(await people.find_user(self.ctx, self.number(user_id, "user_id"))))


class Tokens(DeskHandler):
    """Desk tokens."""

    @allow("any")
    async def get(self) -> None:
        """The caller's tokens, without their secret words."""
        self.success(self.cut(await people.tokens(self.ctx, self.who)))

    @allow("any")
    @takes(TokenBody)
    async def post(self) -> None:
        """Make a token: of the caller, or (by a system admin) of another user."""
        body = self.typed(TokenBody)
        if body.user_id not in (None, self.who.user_id) and not self.who.system:
            raise Unauthorized("Insufficient permissions: only a system admin makes tokens for others")
        owner = await people.find_user(self.ctx, self.who.user_id if body.user_id is None else body.user_id)
        rights = body.acls if body.acls is not None else people.shared_rights(owner, self.who)
        word = await people.add_token(self.ctx, self.who, owner, body.name, rights)
        self.success({"id": word, "token_id": word})


class Token(DeskHandler):
    """One desk token."""

    @allow("any")
    async def delete(self, token_id: str) -> None:
        """End a token of the caller's, by the id that the list shows."""
        await people.remove_token(self.ctx, self.who, token_id)
        self.success()


class Profile(DeskHandler):
    """Who the caller is."""

    @allow("any")
    async def get(self) -> None:
        """The caller's user, groups and rights."""
        self.success(await people.profile(self.ctx, self.who))


ROUTES = [
    Route("/api/user", Users, "desk"),
    Route("/api/user/{user_id:any}", User, "desk"),
    Route("/api/internal/tokens", Tokens, "desk"),
    Route("/api/internal/tokens/{token_id:any}", Token, "desk"),
    Route("/api/internal/profile", Profile, "desk"),
]
