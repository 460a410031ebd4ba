"""Fixtures of the map tests."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

from tests.support.data import REFERENCE

hypothesis.settings.register_profile("maps", deadline=None)  # a busy machine is no failure
hypothesis.settings.load_profile("maps")


@pytest.fixture(scope="session")
def reference_results() -> Path:
    """The folder with official scan results, which are not part of the repository."""
    if not REFERENCE.is_dir():
        pytest.skip(f"no reference results: {REFERENCE}")
    return REFERENCE
