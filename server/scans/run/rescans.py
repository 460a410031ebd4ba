"""Scanning an event once more, with the request of an earlier scan."""

from __future__ import annotations

from server.rest.context import Context
from server.scans.manifests.manifests import Manifest
from server.scans.run import creation, deletion, quotas

__all__ = ["again"]


async def again(ctx: Context, scan_id: str, username: str, *, abort_first: bool = False,
                replace: bool = False) -> Manifest:
    """A new scan like an earlier one, which is aborted first or replaced by it if so wanted.

    Raises NotFound, TooManyRequests.
    """
    await creation.request_of(ctx, scan_id)
    await quotas.check_waiting(ctx, username)
    if abort_first:
        await deletion.delete(ctx, scan_id, completed_too=True)
    manifest = await creation.rescan(ctx, scan_id, username)
    if replace:
        await deletion.replace(ctx, scan_id, manifest.scan_id)
    return manifest
