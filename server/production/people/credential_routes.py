"""Routes of credentials."""

from __future__ import annotations

from server.common.errors import BadRequest, Forbidden
from server.production.common.documents import Document
from server.production.common.fields import Field, takes
from server.production.common.handler import ProductionHandler
from server.production.people import credentials, issuers
from server.production.people.credentials import Owner
from server.production.people.naming import is_own_group, is_own_name
from server.rest.routing import Route, allow

__all__ = ["ROUTES"]

FIELDS = [Field("url", "str", required=True), Field("type", "str", required=True),
          Field("transfer_prefix", "str"), Field("buckets", "list"), Field("access_key", "str"),
          Field("secret_key", "str"), Field("region", "str"), Field("access_token", "str"),
          Field("refresh_token", "str"), Field("scope", "str"), Field("expiration", "number"),
          Field("last_use", "number")]


class CredentialsHandler(ProductionHandler):
    """A handler of one owner's credentials."""

    async def show(self, owner: Owner) -> None:
        rows = await credentials.find(
            self.ctx, owner, self.query("url"), renew=self.query("norefresh") is None
        )
        self.send({row["url"]: row for row in rows})

    async def add(self, owner: Owner) -> None:
        await credentials.create(self.ctx, owner, credentials.new_credential(self.body()))
        self.send({})

    async def modify(self, owner: Owner) -> None:
        await credentials.change(self.ctx, owner, self.body())
        self.send({})

    async def forget(self, owner: Owner) -> None:
        url = self.body(required=False).get("url") or self.query("url")
        if url is not None and not isinstance(url, str):
            raise BadRequest("key url should be of type str")
        await credentials.remove(self.ctx, owner, url)
        self.send({})

    def privileged(self) -> bool:
        return bool(self.user.roles & {"admin", "system"})


class OfGroup(CredentialsHandler):
    """Credentials of a group, for its members."""

    def owner(self, name: str) -> Owner:
        if not is_own_group(self.user, name):
            raise Forbidden("unauthorized")
        return Owner("group", name)

    @allow("admin", "system", "user")
    async def get(self, name: str) -> None:
        """The group's credentials by URL; url for one, norefresh to leave tokens as they are."""
        await self.show(self.owner(name))

    @allow("admin", "system", "user")
    @takes(*FIELDS)
    async def post(self, name: str) -> None:
        """Keep a credential for the group."""
        await self.add(self.owner(name))

    @allow("admin", "system", "user")
    @takes(*FIELDS)
    async def patch(self, name: str) -> None:
        """Change a credential of the group."""
        await self.modify(self.owner(name))

    @allow("admin", "system", "user")
    @takes(Field("url", "str"))
    async def delete(self, name: str) -> None:
        """Forget the group's credentials, for one url or all."""
        await self.forget(self.owner(name))


class OfUser(CredentialsHandler):
    """Credentials of a user, for the user alone."""

    def owner(self, name: str) -> Owner:
        if not is_own_name(self.user, name):
            raise Forbidden("unauthorized")
        return Owner("user", name)

    @allow("admin", "system", "user")
    async def get(self, user: str) -> None:
        """The user's credentials by URL; url for one, norefresh to leave tokens as they are."""
        await self.show(self.owner(user))

    @allow("admin", "system", "user")
    @takes(*FIELDS)
    async def post(self, user: str) -> None:
        """Keep a credential for the user."""
        await self.add(self.owner(user))

    @allow("admin", "system", "user")
    @takes(*FIELDS)
    async def patch(self, user: str) -> None:
        """Change a credential of the user."""
        await self.modify(self.owner(user))

    @allow("admin", "system", "user")
    @takes(Field("url", "str"))
    async def delete(self, user: str) -> None:
        """Forget the user's credentials, for one url or all."""
        await self.forget(self.owner(user))


class OfDataset(CredentialsHandler):
    """Credentials of a dataset, for who may write it."""

    async def owner(self, dataset_id: str, task_name: str = "") -> Owner:
        await self.writable(dataset_id)
        return Owner("dataset", dataset_id, task_name)

    @allow("admin", "system", "user")
    async def get(self, dataset_id: str) -> None:
        """The dataset's credentials by URL; url for one, norefresh to leave tokens as they are."""
        await self.show(await self.owner(dataset_id))

    @allow("admin", "system", "user")
    @takes(*FIELDS)
    async def post(self, dataset_id: str) -> None:
        """Keep a credential for the dataset."""
        await self.add(await self.owner(dataset_id))

    @allow("admin", "system", "user")
    @takes(*FIELDS)
    async def patch(self, dataset_id: str) -> None:
        """Change a credential of the dataset."""
        await self.modify(await self.owner(dataset_id))

    @allow("admin", "system", "user")
    @takes(Field("url", "str"))
    async def delete(self, dataset_id: str) -> None:
        """Forget the dataset's credentials, for one url or all."""
        await self.forget(await self.owner(dataset_id))


class OfTask(CredentialsHandler):
    """Credentials for the tasks of a name in a dataset; pilots may read them."""

    async def owner(self, dataset_id: str, name: str) -> Owner:
        await self.writable(dataset_id)
        return Owner("dataset", dataset_id, name)

    @allow("admin", "client", "system", "pilot", "user")
    async def get(self, dataset_id: str, name: str) -> None:
        """The credentials of the tasks by URL; url for one, norefresh to leave tokens as they are."""
        await self.show(await self.owner(dataset_id, name))

    @allow("admin", "system", "user")
    @takes(*FIELDS)
    async def post(self, dataset_id: str, name: str) -> None:
        """Keep a credential for the tasks."""
        await self.add(await self.owner(dataset_id, name))

    @allow("admin", "system", "user")
    @takes(*FIELDS)
    async def patch(self, dataset_id: str, name: str) -> None:
        """Change a credential of the tasks."""
        await self.modify(await self.owner(dataset_id, name))

    @allow("admin", "system", "user")
    @takes(Field("url", "str"))
    async def delete(self, dataset_id: str, name: str) -> None:
        """Forget the tasks' credentials, for one url or all."""
        await self.forget(await self.owner(dataset_id, name))


class Create(CredentialsHandler):
    """Getting a token from an issuer and keeping it for a user or group."""

    @allow("admin", "system")
    @takes(Field("url", "str", required=True), Field("scope", "str"), Field("username", "str"),
           Field("group", "str"), Field("transfer_prefix", "str"))
    async def post(self) -> None:
        """Get a token of the scope from the issuer of the url, and keep it for username or group."""
        body = self.body()
        text = {name: _text(body, name) for name in ("url", "scope", "username", "group", "transfer_prefix")}
        if not text["url"]:
            raise BadRequest("missing key: url")
        if bool(text["username"]) == bool(text["group"]):
            raise BadRequest("must specify either username or group")
        tokens = await issuers.own_token(issuers.issuer_of(self.ctx, text["url"]), text["scope"])
        owner = Owner("user", text["username"]) if text["username"] else Owner("group", text["group"])
        credential = credentials.new_credential({
            "url": text["url"], "type": "oauth", "scope": text["scope"], "expiration": tokens.expiration,
            "transfer_prefix": text["transfer_prefix"], "access_token": tokens.access_token,
            "refresh_token": tokens.refresh_token})
        await credentials.create(self.ctx, owner, credential)
        self.send({}, 201)


class Exchange(CredentialsHandler):
    """Exchanging a token for one of a narrower scope."""

    @allow("admin", "client", "system", "pilot", "user")
    @takes(
        Field("url", "str", required=True),
        Field("subject_token", "str", required=True),
        Field("scope", "str"),
    )
    async def post(self) -> None:
        """A token of the given scope for the token, from the issuer of the url."""
        body = self.body()
        url, token, scope = (_text(body, name) for name in ("url", "subject_token", "scope"))
        if not url or not token:
            raise BadRequest(f"missing key: {'subject_token' if url else 'url'}")
        tokens = await issuers.exchange(issuers.issuer_of(self.ctx, url), token, scope)
        self.send({"access_token": tokens.access_token, "refresh_token": tokens.refresh_token,
                   "expiration": tokens.expiration, "scope": tokens.scope or scope, "url": url})


def _text(body: Document, name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise BadRequest(f"key {name} should be of type str")
    return value


ROUTES = [
    Route("/create", Create, "credentials"),
    Route("/exchange", Exchange, "credentials"),
    Route("/groups/{name:any}/credentials", OfGroup, "credentials"),
    Route("/users/{user:any}/credentials", OfUser, "credentials"),
    Route("/datasets/{dataset_id}/credentials", OfDataset, "credentials"),
    Route("/datasets/{dataset_id}/tasks/{name:any}/credentials", OfTask, "credentials"),
]
