"""What is installed beside us: extras that are missing, and the other program of our name."""

from __future__ import annotations

import json
import sys
from importlib.metadata import packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from config import environment
from config.environment import MODULES, SharedEnvironment, check_alone, remedy, require
from config.version import PRODUCT
from iceprod.cli import main as command
from iceprod.cli.benching.plan import BENCHES
from iceprod.cli.main import main
from tools.audit import canonical

CRYPTO = {"pyjwt": "cryptography"}  # what an extra of a dependency is there for


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the extras can be found, or imported."""
    known = {name for names in MODULES.values() for name in names}
    find = environment.find_spec
    monkeypatch.setattr(environment, "find_spec", lambda name: None if name in known else find(name))
    for name in known:
        monkeypatch.setitem(sys.modules, name, None)


def _brought(extra: str) -> set[str]:
    """What an extra asks for by name."""
    wanted = [Requirement(line) for line in requires(PRODUCT) or ()]
    mine = [one for one in wanted if one.marker and one.marker.evaluate({"extra": extra})]
    return {CRYPTO[canonical(one.name)] if one.extras else canonical(one.name) for one in mine}


@pytest.mark.parametrize("extra", MODULES)
def test_the_table_is_what_the_extras_bring(extra: str) -> None:
    installed = packages_distributions()
    owners = {module: {canonical(name) for name in installed[module]} for module in MODULES[extra]}
    scanner = _brought("scanner") if extra == "server" else set()
    own = _brought(extra) - scanner
    assert own <= set().union(*owners.values())
    assert all(names & own for names in owners.values())  # several share a namespace such as opentelemetry
    assert _brought(extra) >= scanner  # a server needs the whole scanner


def test_all_is_every_extra_of_the_product() -> None:
    assert _brought("all") == {name for extra in MODULES for name in _brought(extra)}
    assert _brought("condor") == _brought("grid")


@pytest.mark.usefixtures("light")
@pytest.mark.parametrize(("arguments", "extra"), [
    (["up"], "server"), (["demo"], "server"), (["bench", "tasks"], "server"), (["bench", "all"], "server"),
    (["bench", "reco"], "scanner"), (["simulate"], "scanner"), (["demo", "--json"], "server")])
def test_a_command_says_which_extra_it_needs(arguments: list[str], extra: str,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert f"this needs {MODULES[extra][0]}, which is not installed here" in told.err
    assert f"pip install 'iceprod-scanner[{extra}]'" in told.err
    assert json.loads(told.out)["error"] in told.err if told.out else "--json" not in arguments
    assert not list(Path().iterdir())  # nothing was begun


@pytest.mark.usefixtures("light")
def test_every_benchmark_asks_first(capsys: pytest.CaptureFixture[str]) -> None:
    for name in BENCHES:
        assert main(["bench", name]) == 2
        assert "pip install 'iceprod-scanner[" in capsys.readouterr().err


def test_what_no_extra_brings_is_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch,
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    require("scanner")
    assert remedy(ModuleNotFoundError("x", name="no_such_module")) == ""
    assert "[server]" in remedy(ModuleNotFoundError("x", name="tornado.web"))

    def lost() -> None:
        raise ModuleNotFoundError("No module named 'no_such_module'", name="no_such_module")

    monkeypatch.setattr(command, "check_alone", lost)
    with pytest.raises(ModuleNotFoundError):
        main(["--help"])
    assert "pip install" not in capsys.readouterr().err


@pytest.mark.parametrize(("name", "version"), [("iceprod-3.2.1.dist-info", "3.2.1"),
                                               ("iceprod-2.7.egg-info", "2.7")])
def test_the_other_program_of_our_name_is_refused(name: str, version: str, tmp_path: Path,
                                                  monkeypatch: pytest.MonkeyPatch,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "iceprod_scanner-0.2.0.dist-info").mkdir()
    check_alone(tmp_path)
    (tmp_path / name).mkdir()
    with pytest.raises(SharedEnvironment, match=f"iceprod {version}, is installed"):
        check_alone(tmp_path)
    monkeypatch.setattr(command, "check_alone", lambda: check_alone(tmp_path))
    assert main(["status"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "environment of its own" in told
