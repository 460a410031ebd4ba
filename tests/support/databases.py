"""The databases that the black-box suites run on: the embedded store, and the one of ICEPROD_ORACLE_URL."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest

__all__ = ["DATABASES", "chosen"]

DATABASES = ["embedded", "documentdb"]
_ORACLE = os.environ.get("ICEPROD_ORACLE_URL", "")


@contextlib.contextmanager
def chosen(name: str) -> Iterator[None]:
    """Servers that start meanwhile use this database; skips the test where it is not there."""
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("ICEPROD_TEST_DATABASE", raising=False)
        if name != "embedded":
            if not _ORACLE:
                pytest.skip("ICEPROD_ORACLE_URL names no database")
            environment.setenv("ICEPROD_TEST_DATABASE", _ORACLE)
        yield
