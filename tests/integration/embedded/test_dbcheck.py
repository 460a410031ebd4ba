"""The suite that compares a server with MongoDB, where it is at hand."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.store import ROOT, StoreProcess


@pytest.mark.slow
def test_dbcheck(shared_store: StoreProcess, tmp_path: Path) -> None:
    suite = ROOT / "tests" / "dbcheck"
    command = [
        sys.executable,
        "-B",
        "-m",
        "pytest",
        str(suite),
        "-q",
        "-c",
        os.devnull,
        "--rootdir",
        str(suite),
        "--confcutdir",
        str(suite),
    ]
    command += ["-p", "no:cacheprovider", "-W", "ignore", "--mongo-url", shared_store.url]
    command += [
        "--lacks",
        "change_streams,collation",
        "-m",
        "iceprod or not (concurrency or durability or fuzz)",
    ]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=800, check=False)
    assert result.returncode == 0, result.stdout[-6000:]
    assert " passed" in result.stdout
