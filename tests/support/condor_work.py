"""Datasets of short tasks for tests of grids."""

from __future__ import annotations

from typing import Any

from tests.support.api import Api
from tests.support.condor import wait_for

__all__ = ["Work", "task"]


class Work:
    """Makes datasets and looks at their tasks."""

    def __init__(self, api: Api) -> None:
        self.session = api.session()

    def dataset(self, *tasks: dict[str, Any], jobs: int = 1, lenient: bool = False) -> str:
        """A dataset of jobs with the given tasks; its id."""
        fields = {"description": "test", "group": "users", "jobs_submitted": jobs,
                  "tasks_per_job": len(tasks), "tasks_submitted": jobs * len(tasks)}
        answer = self.session.post("/datasets", json=fields)
        assert answer.status_code == 201, answer.text
        dataset_id = answer.json()["result"]
        config = {"version": 3.2, "description": "test", "tasks": list(tasks)}
        answer = self.session.put(f"/config/{dataset_id}", json=config,
                                  params={"lenient": "true"} if lenient else {})
        assert answer.status_code == 200, answer.text
        return str(dataset_id)

    def tasks(self, dataset_id: str) -> list[dict[str, Any]]:
        return list(self.session.get(f"/datasets/{dataset_id}/tasks").json().values())

    def counts(self, dataset_id: str) -> dict[str, int]:
        return dict(self.session.get(f"/datasets/{dataset_id}/task_counts/status").json())

    def stop(self, dataset_id: str) -> None:
        """Let nothing of a dataset run any more."""
        self.session.post(f"/datasets/{dataset_id}/task_actions/bulk_suspend", json={})

    def wait_complete(self, dataset_id: str, count: int, seconds: float = 200) -> None:
        wait_for(lambda: self.counts(dataset_id).get("complete", 0) >= count, seconds,
                 f"{count} complete tasks")

    def pilots(self) -> dict[str, dict[str, Any]]:
        return dict(self.session.get("/pilots").json())


def task(name: str, script: str, depends: tuple[str, ...] = (), **requirements: Any) -> dict[str, Any]:
    """A task that runs a line of shell."""
    wanted = {"cpu": 1, "memory": 1.0, "disk": 1.0, "time": 0.1, **requirements}
    module = {"name": "shell", "src": "/bin/sh", "args": ["-c", script]}
    return {"name": name, "depends": list(depends), "requirements": wanted, "trays": [{"modules": [module]}]}
