"""Whatever a test may be skipped for, somebody can be told what to do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.data import REPOSITORY
from tests.support.skips import Skip, remedy, table

ALONE = ("conformance", "dbcheck")  # their tests are skipped in runs of their own


def reasons() -> Iterator[tuple[str, str]]:
    """Every reason that stands in the tests, with its file."""
    for path in sorted((REPOSITORY / "tests").rglob("*.py")):
        name = str(path.relative_to(REPOSITORY / "tests"))
        if name.startswith(ALONE) or path == Path(__file__):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.Call):
                for text in _reasons(node):
                    yield name, text


def _reasons(call: ast.Call) -> Iterator[str]:
    what = ast.unparse(call.func)
    named = next((word.value for word in call.keywords if word.arg == "reason"), None)
    if what in ("pytest.skip", "pytest.importorskip", "pytest.mark.skipif"):
        text = named or (call.args[0] if what != "pytest.mark.skipif" else None)
        if isinstance(text, ast.Constant | ast.JoinedStr):
            yield ast.unparse(text)


@pytest.mark.parametrize(("file", "reason"), list(reasons()))
def test_every_reason_has_a_remedy(file: str, reason: str) -> None:
    assert remedy(reason), f"{file}: add what helps against {reason} to REMEDIES in tests/support/skips.py"


@pytest.mark.parametrize("reason", ["there is no chromium here", "playwright is not installed",
                                    "axe-core is not installed"])
def test_a_missing_browser_has_a_remedy(reason: str) -> None:
    assert remedy(reason)


def test_the_table_counts_reasons_and_names_the_command() -> None:
    lines = table([Skip("a.py", "Skipped: no real events: /x"), Skip("b.py", "Skipped: no real events: /x"),
                   Skip("c.py", "for fun")])
    assert lines == ["    2 x  a.py and 1 more", "  why: no real events: /x", "  run: make events",
                     "    1 x  c.py", "  why: for fun",
                     "  run: nobody knows; add a line to tests/support/skips.py"]
