"""The makers of databases and pools: whole scripts, which tell how they are used and what runs.

What they make is used by the tests of the database and of HTCondor.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.support.data import TOOLS

MAKERS = ["condor-pool.sh", "documentdb.sh"]


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("name", MAKERS)
def test_they_are_whole(name: str) -> None:
    assert run("bash", "-n", TOOLS / name).returncode == 0


@pytest.mark.parametrize("name", MAKERS)
def test_they_tell_how_they_are_used(name: str) -> None:
    assert f"{name} up" in run(TOOLS / name, "help").stdout


@pytest.mark.parametrize("name", MAKERS)
def test_nothing_runs_in_an_empty_folder(name: str, tmp_path: Path) -> None:
    assert run(TOOLS / name, "status", tmp_path / "none").returncode != 0
    assert not (tmp_path / "none").exists()
