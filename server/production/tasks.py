"""What other families use of production: making datasets and tasks of their own, and ending them."""

from __future__ import annotations

from server.production.datasets import NewDataset, create_dataset
from server.production.ends import Report, complete, fail
from server.production.kinds import register_kind
from server.production.task_store import NewTask, create_tasks

__all__ = ["NewDataset", "NewTask", "Report", "complete", "create_dataset", "create_tasks", "fail",
           "register_kind"]
