"""One job of a configuration on this machine: with the pilot's own code, but without a server.

Files that a task takes away stay in the scratch directory, below ``store``, unless told otherwise; the later
tasks of the job find them there. Temporary data lie below ``temp``.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from grid.guarding.launcher import Launcher, Program
from grid.moving.errors import CannotTransfer
from grid.moving.items import Item, Means, items_of
from grid.pilot import ends
from grid.pilot.modules import BadConfig, commands, environment
from grid.pilot.room import Share
from grid.pilot.running import Running
from grid.pilot.script import Script
from iceprod.dataset_config import task_names, with_defaults
from iceprod.evaluation import payload, requirements_of
from iceprod.requirements import RequirementError

__all__ = ["CannotRehearse", "Rehearsal"]

Document = dict[str, Any]


class CannotRehearse(Exception):
    """The job cannot be run; the text says why."""


@dataclass
class Rehearsal:
    """One job of a dataset that was not submitted."""

    config: Mapping[str, Any]
    directory: Path
    job: int = 0
    jobs: int = 1
    dataset: int = 0
    means: Means = field(default_factory=Means)
    store: bool = False  # send what tasks take away to where it belongs
    gpus: tuple[str, ...] = ()
    say: Callable[[str], None] = print
    done: list[Document] = field(default_factory=list)  # what became of each task that was run
    _kept: dict[str, str] = field(default_factory=dict)  # address → where it is kept instead

    def __post_init__(self) -> None:
        self.config = with_defaults(self.config)
        self.names = task_names(self.config)
        if not self.means.temp:
            self.means = replace(self.means, temp=f"file:{self.directory / 'temp'}")

    def tasks(self, name: str = "") -> list[Document]:
        """The job's tasks as pilots get them, or the one that is named so. Raises CannotRehearse."""
        if name and name not in self.names:
            raise CannotRehearse(f"there is no task {name!r}; there are {', '.join(self.names)}")
        return [self._task(index) for index, known in enumerate(self.names) if name in ("", known)]

    def _task(self, index: int) -> Document:
        about = {"dataset": self.dataset, "dataset_id": f"{self.dataset:032x}", "jobs_submitted": self.jobs,
                 "tasks_submitted": self.jobs * len(self.names), "debug": False}
        task: Document = {"task_index": index, "job_index": self.job, "name": self.names[index],
                          "task_id": f"{index:032x}", "job_id": f"{self.job:032x}", "instance_id": ""}
        try:
            needs = requirements_of(self.config, about, self.job, index)
        except RequirementError as error:
            raise CannotRehearse(f"task {self.names[index]!r} of job {self.job}: {error}") from None
        return {**task, "requirements": needs, "payload": payload(about, self.config, task)}

    # -- running

    def run(self, name: str = "") -> bool:
        """Run the tasks one after another until one fails; whether all did their work."""
        launcher = _Showing(self.say)
        try:
            return all(self._run(task, launcher) for task in self.tasks(name))
        finally:
            launcher.close()

    def _run(self, task: Document, launcher: Launcher) -> bool:
        self.say(f"\n== {task['name']}")
        script = self._script(task, launcher)
        end = script.run()
        logs = dict(script.logs())
        self.done.append({"task": task["name"], "outcome": end.outcome, "reason": end.reason,
                          "used": dict(end.resources), "logs": logs})
        for log, text in logs.items():
            self.say(f"-- {log}\n{text.rstrip()}")
        used = ", ".join(f"{name} {value:g}" for name, value in end.resources.items())
        self.say(f"-- {end.outcome}{': ' + end.reason if end.reason else ''} ({used})")
        return end.outcome == ends.COMPLETE

    def _script(self, task: Document, launcher: Launcher) -> Script:
        if not self.store:
            task = {**task, "payload": self._at_home(task["payload"])}
        return Script(Running(task, self._share(task)), self.directory / task["name"], launcher, self.means)

    def _share(self, task: Document) -> Share:
        needs = task["requirements"]
        memory, disk = float(needs.get("memory") or 0), float(needs.get("disk") or 0)
        return Share(int(needs.get("cpu") or 1), memory, disk, self.gpus[:int(needs.get("gpu") or 0)])

    def _at_home(self, value: Any) -> Any:
        """The payload with its outputs sent to this directory, and later inputs taken from there."""
        if isinstance(value, list):
            return [self._at_home(item) for item in value]
        if not isinstance(value, dict):
            return value
        return {name: [self._kept_here(item) for item in part] if name == "data" else self._at_home(part)
                for name, part in value.items()}

    def _kept_here(self, item: Document) -> Document:
        address = item["remote"]
        if item["type"] == "permanent" and item["movement"] in ("output", "both"):
            parts = urlsplit(address)
            place = self.directory / "store" / parts.netloc / parts.path.lstrip("/")
            self._kept[address] = f"file://{place}"
        return {**item, "remote": self._kept.get(address, address)}

    # -- showing

    def plan(self, name: str = "") -> Iterator[Document]:
        """What would be done for each task: its requirements, files, and commands. Raises CannotRehearse."""
        for task in self.tasks(name):
            script = self._script(task, Launcher())
            config = task["payload"]["task"]
            try:
                programs = list(commands(config))
                items = items_of(config, task["payload"], replace(self.means, temp="$ICEPROD_TEMP"))
            except (BadConfig, CannotTransfer) as error:
                raise CannotRehearse(f"task {task['name']!r}: {error}") from None
            yield {"task": task["name"], "requirements": task["requirements"],
                   "container": config.get("container") or "",
                   "files": [_moved(item) for item in items],
                   "commands": [{"name": one.name, "argv": one.argv, "files": one.files,
                                 "environment": environment(one.clear, script.directory, script.variables())}
                                for one in programs]}


def _moved(item: Item) -> Document:
    movement = "both" if item.is_input and item.is_output else "input" if item.is_input else "output"
    return {"movement": movement, "remote": item.remote, "local": item.local, "maybe": item.maybe}


class _Showing(Launcher):
    """Tells each command before it starts it."""

    def __init__(self, say: Callable[[str], None]) -> None:
        super().__init__()
        self._say = say

    def start(self, argv: list[str], variables: dict[str, str], directory: Path, stdout: Path,
              stderr: Path, box: dict[str, Any] | None = None, whose: str = "") -> Program:
        self._say(f"$ {shlex.join(argv)}")
        return super().start(argv, variables, directory, stdout, stderr, box, whose)
