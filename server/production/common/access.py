"""Who may read and change a dataset: rules of groups and users, kept beside the dataset."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from iceprod.tokens import Caller
from server.common.errors import Forbidden
from server.rest import sites
from server.rest.context import Context

__all__ = ["default_rules", "is_allowed", "readable_datasets", "require", "store_rules"]

PARTS = ("read_groups", "write_groups", "read_users", "write_users")


def default_rules(group: str, owner: str, readers: Iterable[str] = ("users",)) -> dict[str, list[str]]:
    """The rules of a new dataset: its group and owner write, `readers` may also read."""
    write = ["admin"] if group == "users" else sorted({"admin", group})
    return {"read_groups": sorted({"admin", group, *readers}), "write_groups": write,
            "read_users": [owner], "write_users": [owner]}


async def store_rules(ctx: Context, dataset_id: str, rules: dict[str, list[str]]) -> None:
    """Set the given parts of a dataset's rules; the others stay."""
    missing: dict[str, list[str]] = {part: [] for part in PARTS if part not in rules}
    update: dict[str, Any] = {"$set": rules}
    if missing:
        update["$setOnInsert"] = missing
    await ctx.db.auths.update_one({"dataset_id": dataset_id}, update, upsert=True)


def is_allowed(rules: dict[str, Any], caller: Caller, right: str) -> bool:
    """Whether `rules` give the caller the right, "read" or "write"."""
    groups = set(rules.get(f"{right}_groups", ()))
    return bool(groups & set(caller.groups)) or caller.username in rules.get(f"{right}_users", ())


async def require(ctx: Context, caller: Caller, dataset_id: str, right: str) -> None:
    """Raise Forbidden unless the caller has the right; admins, services and pilots have every right.

    A user gets the same answer for a dataset that does not exist.
    """
    if caller.bypasses_datasets:
        return
    if "pilot" in caller.roles:
        if not await sites.holds_of_dataset(ctx, caller, dataset_id):
            raise Forbidden("authorization failed")
        return
    rules = await ctx.db.auths.find_one({"dataset_id": dataset_id})
    if rules is None or not is_allowed(rules, caller, right):
        raise Forbidden("authorization failed")


async def readable_datasets(ctx: Context, caller: Caller) -> set[str] | None:
    """The datasets that a user may read; None means all."""
    if caller.bypasses_datasets:
        return None
    query = {"$or": [{"read_groups": {"$in": list(caller.groups)}}, {"read_users": caller.username}]}
    return {rules["dataset_id"] async for rules in ctx.db.auths.find(query, {"dataset_id": 1})}
