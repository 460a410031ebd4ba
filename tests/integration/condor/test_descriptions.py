"""What HTCondor makes of our submit descriptions: the job's ClassAd in a real queue. Nothing is run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from grid.base import PilotClass
from grid.condor import jobs
from grid.condor.jobs import Files
from grid.condor.site import Pilot, Site
from tests.support.condor import Pool

pytestmark = pytest.mark.slow

BATCH = "a-batch"
NAMES = ("JobUniverse", "WantContainer", "WantSIF", "WantDockerImage", "ContainerImage", "TransferContainer",
         "Cmd", "TransferExecutable", "TransferInput", "Args", "Arguments", "Requirements", "RequestCpus",
         "RequestGPUs", "SingularityImage", "Busy", "Share", "AcctGroup", *jobs.SHAPE)


@pytest.fixture
def queue(pool_a: Pool) -> Iterator[Pool]:
    yield pool_a
    pool_a.empty()


def described(queue: Pool, folder: Path, shape: PilotClass, **pilot: Any) -> dict[str, Any]:
    """The ClassAd of a pilot of such a site, which no machine will do for."""
    files = Files(folder / "pilot.pyz", folder / "token", folder / "events", folder, "q", "1")
    for path in (files.program, files.token, files.log):
        path.write_text("x")
    site = Site(site="here", server="https://x", pilot=Pilot(requirements="false", **pilot))
    made = jobs.description(site, shape, BATCH, "g", files)
    submit = folder / "submit"
    submit.write_text("".join(f"{name} = {value}\n" for name, value in made.items()) + "queue 2\n")
    queue.run("condor_submit", str(submit))
    ads = queue.jobs(jobs.batch_constraint(BATCH), *NAMES)
    assert len(ads) == 2
    return ads[0]


SHAPE = PilotClass(2, 4.0, 10.0, 0, 5.0, "here")


def test_an_image_that_workers_mount(queue: Pool, tmp_path: Path) -> None:
    ad = described(queue, tmp_path, SHAPE, image="/cvmfs/repo/scanner.sif", python="/usr/bin/python3")
    assert (ad["WantContainer"], ad["WantSIF"]) == (True, True)
    assert ad["ContainerImage"] == "/cvmfs/repo/scanner.sif"
    assert ad["TransferContainer"] is False
    assert "HasContainer" in ad["Requirements"]
    assert (ad["Cmd"], ad["TransferExecutable"]) == ("/usr/bin/python3", False)  # the container's own
    assert ad["TransferInput"] == f"{tmp_path}/pilot.pyz,{tmp_path}/token"


def test_an_image_from_a_registry(queue: Pool, tmp_path: Path) -> None:
    ad = described(queue, tmp_path, SHAPE, image="docker://python:3.12-slim")
    assert (ad["WantContainer"], ad["WantDockerImage"]) == (True, True)
    assert ad["ContainerImage"] == "docker://python:3.12-slim"
    assert ad["Cmd"] == f"{tmp_path}/pilot.pyz"


def test_attributes_of_the_pools_own_and_gpus(queue: Pool, tmp_path: Path) -> None:
    more = {"SingularityImage": "/cvmfs/old.img", "Busy": True, "Share": 0.5}
    shape = PilotClass(1, 2.0, 3.0, 1, 5.0, "here")
    ad = described(queue, tmp_path, shape, classads=more, submit={"+AcctGroup": '"grp"'})
    assert {name: ad[name] for name in more} == more
    assert ad["AcctGroup"] == "grp"
    assert (ad["RequestCpus"], ad["RequestGPUs"]) == (1, 1)
    assert "WantContainer" not in ad
    assert [ad[name] for name in jobs.SHAPE] == [1, 2.0, 3.0, 1, 5.0]
