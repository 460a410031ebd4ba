"""The program as it was released before this one, out of the history of the repository, to run beside it."""

from __future__ import annotations

import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.api import REPOSITORY
from tools.wings import HOUSES

__all__ = ["COMMIT", "previous_program"]

COMMIT = "643386213c1dddef1ca4eb3ce216a2fbf4353285"
"""The last commit of release 0.1.0."""


def previous_program(folder: Path) -> Path:
    """A new folder with the previous release's files; skips the test where the clone lacks its history."""
    packed = folder / "previous.tar"
    command = ["git", "archive", "--output", str(packed), COMMIT, *HOUSES]
    if subprocess.run(command, cwd=REPOSITORY, capture_output=True, check=False).returncode:
        pytest.skip("the previous release is not in the history of this clone")
    with tarfile.open(packed) as archive:
        archive.extractall(folder / "previous", filter="data")
    packed.unlink()
    return folder / "previous"
