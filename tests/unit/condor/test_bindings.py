"""What an admin reads whose HTCondor bindings cannot be used."""

from __future__ import annotations

import os
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

from grid.base import GridError
from grid.condor import bindings
from grid.condor.bindings import load_bindings
from grid.condor.site import Condor


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", dict(os.environ))


def versions(monkeypatch: pytest.MonkeyPatch, version: str | None) -> None:
    def installed(name: str) -> str:
        if version is None:
            raise metadata.PackageNotFoundError(name)
        return version

    monkeypatch.setattr(bindings.metadata, "version", installed)


@pytest.mark.parametrize("version", ["23.9.6", "24.0.24", "9.12"])
def test_older_ones(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    versions(monkeypatch, version)
    with pytest.raises(GridError, match=f"are {version}, which lack") as caught:
        load_bindings(Condor())
    assert "pip install 'htcondor>=25'" in str(caught.value)


def modules(monkeypatch: pytest.MonkeyPatch, **told: str) -> None:
    """As if the system's packages had brought modules that tell their versions so."""
    def load(name: str) -> SimpleNamespace:
        if name not in told:
            raise ImportError(name)
        return SimpleNamespace(version=lambda: told[name])

    monkeypatch.setattr(bindings.importlib, "import_module", load)


def test_those_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, None)
    told = "$CondorVersion: 25.4.0 2026-01-01 BuildID: Debian $"
    modules(monkeypatch, htcondor2=told, classad2=told)
    assert load_bindings(Condor()).version == "25.4.0"
    modules(monkeypatch, htcondor="$CondorVersion: 10.9.0 2023-11-14 $")
    with pytest.raises(GridError, match=r"are 10\.9\.0, which lack"):
        load_bindings(Condor())


def test_none(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, None)
    modules(monkeypatch)
    with pytest.raises(GridError, match="not installed; install them with: pip install"):
        load_bindings(Condor())


def test_broken_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, "25.1.0")

    def broken(name: str) -> None:
        raise ImportError("libssl.so.9: no such file")

    monkeypatch.setattr(bindings.importlib, "import_module", broken)
    with pytest.raises(GridError, match=r"25\.1\.0 cannot be loaded: libssl"):
        load_bindings(Condor())


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(GridError, match="there is no file"):
        load_bindings(Condor(config=str(tmp_path / "none")))


def test_the_site_file_goes_into_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "condor_config"
    config.touch()
    versions(monkeypatch, "1.0")
    with pytest.raises(GridError):
        load_bindings(Condor(config=str(config), authentication="idtokens", token_directory=str(tmp_path)))
    assert os.environ["CONDOR_CONFIG"] == str(config)
    assert os.environ["_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS"] == "IDTOKENS"
    assert os.environ["_CONDOR_SEC_TOKEN_DIRECTORY"] == str(tmp_path)
