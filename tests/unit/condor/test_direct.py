"""One job for each task: as large as that, and never for another."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from config.settings import SettingsError
from grid.base import PilotClass
from grid.condor import jobs
from grid.condor.coverage import BUSY, QUEUED, Pilot
from grid.condor.decide import Decision, decide
from grid.condor.demand import Work
from grid.condor.pace import History
from grid.condor.site import Limits, Site, Size, load_site
from tests.unit.condor.test_jobs import FILES, words

SITE = Site(site="here", server="http://x", mode="direct", smallest=Size(cores=4, memory=8),
            largest=Size(cores=8, memory=32, disk=100, gpus=1, hours=48), limits=Limits(queued=20))


def ask(*works: Work, pilots: tuple[Pilot, ...] = ()) -> Decision:
    return decide(works, pilots, SITE, History(), 0.0)


def test_each_task_has_a_job_as_large_as_it_needs() -> None:
    (order,) = ask(Work.of({"cpu": 2, "memory": 3.0, "disk": 5.0, "time": 4.0}, 5)).submit
    assert (order.shape, order.count) == (PilotClass(2, 3.0, 5.0, 0, 4.1, "here"), 5)


def test_a_job_counts_for_one_task() -> None:
    large = PilotClass(8, 32.0, 100.0, 0, 48.0, "here")
    free: dict[str, Any] = {"cpu": 7, "gpu": 0, "memory": 30.0, "disk": 90.0}
    pilots = (Pilot("1.0", large, BUSY, free=free), Pilot("1.1", large, QUEUED))
    assert sum(order.count for order in ask(Work.of({"cpu": 1}, 5), pilots=pilots).submit) == 4


def test_the_job_takes_one_task() -> None:
    made = jobs.description(SITE, PilotClass(1, 2.0, 2.0, 0, 1.0, "here"), "b", "g", FILES)
    assert "--tasks=1" in words(made["arguments"])
    plain = msgspec.structs.replace(SITE, mode="pilots")
    made = jobs.description(plain, PilotClass(1, 2.0, 2.0, 0, 1.0, "here"), "b", "g", FILES)
    assert "--tasks=1" not in words(made["arguments"])


def test_no_job_waits_for_work(tmp_path: Any) -> None:
    path = tmp_path / "site.yaml"
    path.write_text("site: a\nserver: http://x\nmode: direct\nlimits: {warm: 1}\n")
    with pytest.raises(SettingsError, match="warm must be 0 with mode: direct"):
        load_site(path)
