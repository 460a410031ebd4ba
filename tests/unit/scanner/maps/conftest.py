"""Fixtures of the map tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.data import REFERENCE


@pytest.fixture(scope="session")
def reference_results() -> Path:
    """The folder with official scan results, which are not part of the repository."""
    if not REFERENCE.is_dir():
        pytest.skip(f"no reference results: {REFERENCE}")
    return REFERENCE
