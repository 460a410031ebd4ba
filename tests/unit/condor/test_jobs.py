"""The pilot's submit description."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import msgspec
import pytest

from grid.base import PilotClass
from grid.condor import jobs
from grid.condor.jobs import Files
from grid.condor.site import Condor, Pilot, Site
from grid.pilot import main

FILES = Files(Path("/s/pilot.pyz"), Path("/s/token"), Path("/s/e.log"), Path("/s/out"), "schedd@ap", "25.0")
SHAPE = PilotClass(2, 4.0, 10.0, 0, 16.1, "here")
SITE = Site(site="here", server="https://x")


def describe(site: Site = SITE, shape: PilotClass = SHAPE, **pilot: Any) -> dict[str, str]:
    site = msgspec.structs.replace(site, pilot=msgspec.structs.replace(site.pilot, **pilot))
    return jobs.description(site, shape, "b1", "g1", FILES)


def words(line: str) -> list[str]:
    """HTCondor's new syntax for arguments, where no word holds a quote, is what a shell reads."""
    assert (line[0], line[-1]) == ('"', '"')
    return shlex.split(line[1:-1])


def test_what_it_asks_for() -> None:
    made = describe()
    assert (made["request_cpus"], made["request_disk"]) == ("2", "11718750")  # with room for the cache
    assert int(made["request_memory"]) == 4054  # MiB: 4.25 GB
    assert "request_gpus" not in made
    assert describe(shape=PilotClass(1, 4.0, 10.0, 2, 1.0, "here"))["request_gpus"] == "2"


def test_the_pilot_understands_its_arguments() -> None:
    made = describe(pixels=False)
    given = main.make_parser().parse_args(words(made["arguments"]))
    assert (given.server, str(given.token_file), given.site) == ("https://x", "token", "here")
    assert (given.grid_id, given.queue_id, given.queue_host) == ("g1", "$(ClusterId).$(ProcId)", "schedd@ap")
    assert (given.cores, given.memory, given.disk, given.lifetime, given.gpus) == (2, 4.0, 10.0, 16.1, "")
    assert given.no_pixels


def test_a_pilot_with_gpus_finds_their_names_itself() -> None:
    made = describe(shape=PilotClass(1, 4.0, 10.0, 1, 1.0, "here"))
    assert not any(word.startswith("--gpus") for word in words(made["arguments"]))


def test_the_program_and_the_token_travel() -> None:
    made = describe()
    assert (made["executable"], made["transfer_input_files"]) == ("/s/pilot.pyz", "/s/token")
    made = describe(python="/opt/bin/python3")
    assert (made["executable"], made["transfer_executable"]) == ("/opt/bin/python3", "false")
    assert made["transfer_input_files"] == "/s/pilot.pyz,/s/token"
    assert words(made["arguments"])[0] == "pilot.pyz"


def test_a_container_and_more_of_the_site() -> None:
    more = {"Group": 'a"b\\', "N": 3, "Y": True}
    made = describe(image="/cvmfs/x.sif", classads=more, submit={"rank": "KFlops"})
    assert (made["universe"], made["container_image"]) == ("container", "/cvmfs/x.sif")
    assert made["transfer_container"] == "false"
    assert "transfer_container" not in describe(image="/home/me/x.sif")
    assert made["rank"] == "KFlops"
    assert (made["My.Group"], made["My.N"], made["My.Y"]) == (r'"a\"b\\"', "3", "true")


def test_a_site_may_choose_machines_but_a_pilot_starts_once() -> None:
    made = describe(requirements="HasX || HasY")
    assert made["requirements"].startswith("(NumJobStarts =?= undefined || NumJobStarts == 0) && ")
    assert made["requirements"].endswith(" && (HasX || HasY)")
    assert "NumJobStarts > 0" in made["periodic_remove"]


def test_it_says_whose_it_is() -> None:
    made = describe()
    assert (made["My.IceProdSite"], made["My.IceProdServer"]) == ('"here"', '"https://x"')
    assert jobs.constraint(SITE) == 'IceProdSite == "here" && IceProdServer == "https://x"'
    assert jobs.batch_constraint("b1") == f"IceProdBatch == {made['My.IceProdBatch']}"


def test_the_shape_comes_back_from_the_job() -> None:
    made = describe()
    ad = {name: float(made[f"My.{name}"]) for name in jobs.SHAPE}
    assert jobs.shape_of(ad, "here") == SHAPE


@pytest.mark.parametrize(("text", "quoted"), [
    ("plain", '"A=plain"'), ("two words", "\"A='two words'\""), ("it's", "\"A='it''s'\""),
    ('say "x"', '"A=\'say ""x""\'"'), ("", "\"A=''\"")])
def test_variables_are_quoted(text: str, quoted: str) -> None:
    made = jobs._joined({"A": text})
    assert made == quoted


def test_the_accounting_group() -> None:
    site = msgspec.structs.replace(SITE, condor=Condor(accounting_group="group_x"), pilot=Pilot())
    assert describe(site)["accounting_group"] == "group_x"
    assert "accounting_group" not in describe()
