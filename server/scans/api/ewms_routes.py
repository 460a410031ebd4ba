"""Routes about the workers of a scan, in the terms of the workload manager EWMS."""

from __future__ import annotations

from server.rest.routing import Route, allow
from server.scans.api.handler import ScanHandler, redirects, takes
from server.scans.api.status import log_url, status_of
from server.scans.manifests import manifests
from server.scans.manifests.bodies import ADD_WORKERS, WORKFLOW
from server.scans.run import backlog, workers

__all__ = ["ROUTES"]


class Status(ScanHandler):
    """Where a scan stands."""

    @allow("user", "admin", "system")
    @redirects
    async def get(self, scan_id: str) -> None:
        self.send(await status_of(self.ctx, scan_id, self.origin))


class Logs(ScanHandler):
    """Where to read what a scan did."""

    @allow("user", "admin")
    @redirects
    async def get(self, scan_id: str) -> None:
        await manifests.read(self.ctx, scan_id)
        self.send({"scanner_server": {"url": log_url(self.ctx, self.origin, scan_id)}})


class AddWorkers(ScanHandler):
    """Add more workers to an ongoing scan."""

    @allow("user", "admin")
    @takes(ADD_WORKERS, 422)
    @redirects
    async def post(self, scan_id: str) -> None:
        body = self.checked_body(ADD_WORKERS)
        number, cluster = int(body["n_workers"]), body["cluster_location"]
        self.send(await workers.add_workers(self.ctx, scan_id, number, cluster))


class WorkflowId(ScanHandler):
    """The id of a scan's workflow."""

    @allow("user", "admin", "system")
    @redirects
    async def get(self, scan_id: str) -> None:
        self.send(workers.workflow(await manifests.read(self.ctx, scan_id)))

    @allow("system", "admin")
    @takes(WORKFLOW)
    async def post(self, scan_id: str) -> None:
        await manifests.read(self.ctx, scan_id)
        body = self.checked_body(WORKFLOW)
        workflow_id, address = body["workflow_id"], body["ewms_address"]
        manifest = await manifests.assign_workflow(self.ctx, scan_id, workflow_id, address)
        await backlog.remove(self.ctx, scan_id)
        self.send(manifest)


class Workforce(ScanHandler):
    """What the workers of a scan do."""

    @allow("user", "admin", "system")
    @redirects
    async def get(self, scan_id: str) -> None:
        self.send(await workers.workforce(self.ctx, await manifests.read(self.ctx, scan_id)))


class Taskforces(ScanHandler):
    """The groups of workers of a scan."""

    @allow("user", "admin", "system")
    @redirects
    async def get(self, scan_id: str) -> None:
        manifest = await manifests.read(self.ctx, scan_id)
        self.send({"taskforces": await workers.taskforces(self.ctx, manifest)})


ROUTES = [
    Route("/scan/{scan_id}/status", Status, "scan"),
    Route("/scan/{scan_id}/logs", Logs, "scan"),
    Route("/scan/{scan_id}/actions/add-workers", AddWorkers, "scan"),
    Route("/scan/{scan_id}/ewms/workflow-id", WorkflowId, "ewms"),
    Route("/scan/{scan_id}/ewms/workforce", Workforce, "ewms"),
    Route("/scan/{scan_id}/ewms/taskforces", Taskforces, "ewms"),
]
