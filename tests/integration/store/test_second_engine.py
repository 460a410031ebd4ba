"""The product on SecantusDB: MongoDB's protocol on WiredTiger, made by others.

What differs there is written down in docs/decisions/embedded-store.md. Where an engine differs from MongoDB's
manual, the manual is right.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.chaos import Chain
from tests.support.databases import secantusdb
from tests.support.installation import installation
from tests.support.store import ROOT

pytestmark = pytest.mark.slow

TOO_SLOW = ("test_queries.py::test_in_100k",)  # a long $in costs it the square of the length
FAULTS = ("test_queries.py::test_distinct",)  # of a field inside of lists: it finds nothing


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with secantusdb(tmp_path_factory.mktemp("engine") / "data") as url:
        yield url


def dbcheck(url: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    suite = ROOT / "tests" / "dbcheck"
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", str(suite),
               "--confcutdir", str(suite), "-p", "no:cacheprovider", "-W", "ignore", "--mongo-url", url,
               *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=800, check=False)


def test_what_we_use_it_does_as_mongodb(engine: str, tmp_path: Path) -> None:
    suite = ROOT / "tests" / "dbcheck"
    left_out = [f"--deselect={name}" for name in TOO_SLOW]
    what = "iceprod and not (concurrency or durability or fuzz or transactions)"
    done = dbcheck(engine, tmp_path, str(suite), "-m", what, *left_out)
    assert done.returncode == 0, done.stdout[-6000:]
    assert " passed" in done.stdout


@pytest.mark.parametrize("name", FAULTS)
def test_its_faults_are_still_there(engine: str, tmp_path: Path, name: str) -> None:
    """One that is gone is a line less in the documentation."""
    done = dbcheck(engine, tmp_path, str(ROOT / "tests" / "dbcheck" / name))
    assert done.returncode == 1, done.stdout[-6000:]
    assert " 1 failed" in " " + done.stdout.splitlines()[-1]


def test_tasks_run_and_count_once(engine: str, tmp_path: Path) -> None:
    chain = Chain(tmp_path / "chain", jobs=5)
    with installation(tmp_path / "here", pilots=2, DATABASE__URL=engine, PILOTS__ISOLATION="off") as here, \
            here.client() as client:
        chain.submit(client)
        chain.check_books(client)
