"""Fixtures of the map tests."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile("maps", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("maps")


@pytest.fixture(scope="session")
def reference_results() -> Path:
    """The folder with official scan results, which are not part of the repository."""
    root = Path(os.environ.get("ICEPROD_TEST_DATA", Path(__file__).parents[5] / "shared"))
    folder = root / "events" / "reference"
    if not folder.is_dir():
        pytest.skip(f"no reference results: {folder} does not exist (set ICEPROD_TEST_DATA)")
    return folder
