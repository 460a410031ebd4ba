"""Where data that are not part of the repository lie: real events, reference files.

The folder that ``ICEPROD_TEST_DATA`` names; else ``../shared`` beside the clone, if there is one; else
``.testdata`` in it, which `make events` fills.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

__all__ = ["CONFORMANCE", "EVENTS", "REFERENCE", "REPOSITORY", "TEST_DATA", "TOOLS", "real"]

REPOSITORY = Path(__file__).resolve().parents[2]


def _folder() -> Path:
    if named := os.environ.get("ICEPROD_TEST_DATA"):
        return Path(named)
    beside = REPOSITORY.parent / "shared"
    return beside if beside.is_dir() else REPOSITORY / ".testdata"


TEST_DATA = _folder()
EVENTS = TEST_DATA / "events"
REFERENCE = EVENTS / "reference"
TOOLS = REPOSITORY / "tools"
CONFORMANCE = REPOSITORY / "tests" / "conformance"


def real(name: str) -> Path:
    """A file of real events; skips the test where it is missing."""
    if not (path := EVENTS / name).exists():
        pytest.skip(f"no real events: {path}")
    return path
