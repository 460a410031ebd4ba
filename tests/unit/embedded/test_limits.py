"""An installation is warned before it outgrows the store."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.embedded.__main__ import main
from server.embedded.limits import MOST_BYTES, MOST_DOCUMENTS, Size
from tests.unit.embedded.conftest import LocalStore


def test_a_small_store_has_no_warning() -> None:
    assert Size({"t.c": 10}, 1 << 20, 10 << 30).warnings() == []


def test_each_limit_warns() -> None:
    documents = {"t.a": MOST_DOCUMENTS, "t.b": 5, "t.c": 2 * MOST_DOCUMENTS}
    found = Size(documents, MOST_BYTES, MOST_BYTES).warnings()
    assert [text.split()[0] for text in found] == ["t.c", "t.a", "the", "the"]
    assert "too little to repair" in found[-1]


def test_the_command_counts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = LocalStore(tmp_path / "data")
    store.insert({"a": 1}, {"a": 2})
    store.store.close()
    assert main(["size", "--data", str(tmp_path / "data")]) == 0
    assert "t.c" in (printed := capsys.readouterr().out)
    assert " 2 documents" in printed
