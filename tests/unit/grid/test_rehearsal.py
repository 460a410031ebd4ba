"""Real production configurations, with stand-ins for the programs of IceCube that tell how they were called.

What is expected was worked out once with IceProd's own runner (3.2.39), for the same configuration and job.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grid.rehearsal import CannotRehearse, Rehearsal
from iceprod.config_check import check_config, refused

DATA = Path(os.environ.get("ICEPROD_TEST_DATA", "../shared")) / "data" / "iceprod_configs"
CVMFS = "/cvmfs/icecube.opensciencegrid.org"
REAL = ["corsika_2023", "corsika_2023.v31", "corsika_le", "corsika_le.v31", "numu_me", "numu_me.v31"]

RECORD = """
import json, os, sys
def record(**what):
    names = "PYTHONNOUSERSITE", "SHELL", "MINE", "INSIDE", "http_proxy"
    kept = {name: os.environ.get(name) for name in names}
    with open(os.path.join(%(told)r), "a") as file:
        file.write(json.dumps({**what, "environ": kept}) + chr(10))
    for name in open(%(outputs)r).read().split():
        open(name, "a").close()
"""
SHELL = """#!/bin/sh
echo "$@" >> {shells}
export INSIDE="$1"; shift
export PYTHONPATH={packages}; exec "$@"
"""
CLASSES = """
from recorder import record
class _Module:
    def __init__(self):
        self.given = {}
    def SetParameter(self, name, value):
        self.given[name] = value
    def Execute(self, stats):
        record(name=type(self).__name__, given=self.given)
def __getattr__(name):
    return type(name, (_Module,), {})
"""


def config_of(name: str, cvmfs: str = CVMFS) -> dict[str, Any]:
    path = DATA / f"{name}.json"
    if not path.exists():
        pytest.skip("the real configurations are not here (ICEPROD_TEST_DATA)")
    return json.loads(path.read_text().replace(CVMFS, cvmfs))


@pytest.mark.parametrize("name", REAL)
def test_real_configurations_are_taken(name: str) -> None:
    assert refused(check_config(config_of(name), 1000)) == []


class StandIns:
    """What stands in for the software of IceCube below a directory."""

    def __init__(self, root: Path) -> None:
        self.root, self.told, self.shells = root, root / "told", root / "shells"
        self.outputs = root / "outputs"
        packages = root / "packages"
        for package in ("icecube", "icecube/simprod", "icecube/simprod/modules"):
            self.write(f"packages/{package}/__init__.py", CLASSES if package.endswith("modules") else "")
        self.write("packages/icecube/simprod/modules/nugen.py", CLASSES)
        self.write("packages/recorder.py", RECORD % {"told": str(self.told), "outputs": str(self.outputs)})
        self.shell = SHELL.format(shells=self.shells, packages=packages)

    def write(self, name: str, text: str) -> Path:
        path = self.root / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def make(self, plan: list[dict[str, Any]]) -> None:
        """The programs and files that the plan names."""
        files = [item["local"] for task in plan for item in task["files"] if item["movement"] == "output"]
        self.outputs.write_text("\n".join(files))
        for task in plan:
            for command in task["commands"]:
                shell, program = command["argv"][0], command["argv"][3]
                self.write(str(Path(shell).relative_to(self.root)), self.shell)
                if program.startswith(str(self.root)):
                    self.write(str(Path(program).relative_to(self.root)),
                               "import sys\nfrom recorder import record\nrecord(argv=sys.argv[1:])\n")

    def heard(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.told.read_text().splitlines()]


@pytest.fixture
def rehearsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Runs a job of a real configuration; what its programs tell."""
    monkeypatch.setenv("MINE", "not for them")
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")

    def run(name: str, job: int) -> list[dict[str, Any]]:
        stand_ins = StandIns(tmp_path / "cvmfs")
        config = config_of(name, str(stand_ins.root))
        said: list[str] = []
        (tmp_path / "work").mkdir()
        rehearsal = Rehearsal(config, tmp_path / "work", job, 1000, gpus=("0",), say=said.append)
        stand_ins.make(list(rehearsal.plan()))
        assert rehearsal.run(), "\n".join(said)
        assert any(line.startswith("$ ") for line in said)
        return stand_ins.heard()

    return run


@pytest.mark.parametrize("name", ["numu_me", "numu_me.v31"])
def test_iterations_and_classes(rehearsed: Callable[..., list[dict[str, Any]]], name: str) -> None:
    told = rehearsed(name, 37)
    assert [one["name"] for one in told] == ["CorsikaGenerator", "NuGen", *["ClSim", "PolyplopiaModule"] * 4]
    assert told[0]["given"]["CORSIKAseed"] == 600037
    assert told[0]["given"]["skipoptions"] == ["compress"]
    assert told[0]["given"]["UsePipe"] is False
    assert told[0]["given"]["nshowers"] == 450
    assert told[1]["given"] == {
        "EnableHistogram": True, "FromEnergy": 5000.0, "gamma": 1.5, "HistogramFilename": "histo.pkl",
        "mjd": 57531, "nevents": 15, "nproc": 1000, "NuFlavor": "NuMu", "outputfile": "nugen.i3.gz",
        "procnum": 37, "seed": 30006, "summaryfile": "summary.xml", "ToEnergy": 100000.0,
        "gcdfile": told[1]["given"]["gcdfile"]}
    models = [one["given"]["IceModelLocation"].rpartition("/")[2] for one in told if one["name"] == "ClSim"]
    assert models == ["base", "ellipse-scat.1", "ellipse-abs.1", "ellipse-abs-scat.m071"]
    hits = [one["given"]["outputfile"] for one in told if one["name"] == "PolyplopiaModule"]
    assert hits == ["hits_0.i3.gz", "hits_1.i3.gz", "hits_2.i3.gz", "hits_3.i3.gz"]
    assert told[0]["environ"] == {"PYTHONNOUSERSITE": "1", "SHELL": "/bin/sh", "MINE": None,
                                  "INSIDE": "simulation/V05-01-00", "http_proxy": "http://proxy:3128"}


@pytest.mark.parametrize("name", ["corsika_2023", "corsika_2023.v31"])
def test_a_production_of_2023(rehearsed: Callable[..., list[dict[str, Any]]], name: str) -> None:
    told = rehearsed(name, 37)
    assert [one.get("name", "src") for one in told] == [
        "CorsikaGenerator", "Corsika5ComponentGenerator", "src", "ClSim", "PolyplopiaModule", "IceCube",
        "src", "src", "src"]
    assert told[1]["given"]["UseGSLRNG"] is True
    assert told[5]["given"]["MCType"] == "$steering(mctype)"  # there is no such parameter, but MCType
    assert [word for word in told[2]["argv"] if "gcdfile" not in word] == [
        "--seed=0", "--inputfile=corsika_presample.i3.zst", "--outputfile=corsika.i3.zst",
        "--CylinderHeight=1600", "--CylinderRadius=800", "--OverSampling=1", "--procnum=37", "--nproc=1000",
        "--UseGSLRNG", "--PropagateMuons"]
    assert told[6]["argv"][0] == "--output=PFFilt_IC86.2023_corsika.000000.000037.i3.zst"
    assert told[8]["argv"][:2] == ["--sim", "--input=IC86.2023_corsika.000000.000037.i3.zst"]


def test_one_task_and_unknown_ones(tmp_path: Path) -> None:
    config = {"version": 3.2, "description": "c", "tasks": [
        {"name": name, "trays": [{"modules": [{"src": "/bin/echo", "args": name}]}]} for name in "ab"]}
    said: list[str] = []
    rehearsal = Rehearsal(config, tmp_path, say=said.append)
    assert rehearsal.run("b")
    assert said[0].strip() == "== b"
    assert "$ /bin/echo b" in said
    with pytest.raises(CannotRehearse, match="there are a, b"):
        rehearsal.run("c")


def test_outputs_stay_here_and_later_tasks_find_them(tmp_path: Path) -> None:
    place = "gsiftp://far.away/data/x_$(job).txt"
    config = {"version": 3.2, "description": "c", "tasks": [
        {"name": "make", "data": [{"type": "permanent", "movement": "output", "remote": place, "local": "x"}],
         "trays": [{"modules": [{"src": "/bin/sh", "args": ["-c", "echo made > x"]}]}]},
        {"name": "take", "depends": ["make"],
         "data": [{"type": "permanent", "movement": "input", "remote": place, "local": "y"}],
         "trays": [{"modules": [{"src": "/bin/cat", "args": ["$(input)"]}]}]}]}
    said: list[str] = []
    assert Rehearsal(config, tmp_path, job=5, jobs=6, say=said.append).run(), said
    assert (tmp_path / "store/far.away/data/x_5.txt").read_text() == "made\n"
    assert "-- stdout\nmade" in said
