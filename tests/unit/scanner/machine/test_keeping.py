"""Files of what is made once: found whole, or not at all."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.machine import keeping
from scanner.machine.keeping import Label, find, keep, locked, pack, unpack
from scanner.machine.tables import kept

LABEL = Label("track", "x86-64-v3", "x86_64-unknown-linux-gnu")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(keeping, "own_folder", lambda: tmp_path)
    monkeypatch.setattr(keeping, "SHIPPED", tmp_path / "shipped")
    return tmp_path


def test_what_is_kept_is_found(folder: Path) -> None:
    assert find(LABEL) is None
    assert keep(pack(LABEL, b"code"), LABEL.file)
    assert find(LABEL) == b"code"
    assert [path.name for path in folder.iterdir()] == ["track.x86-64-v3"]
    assert not stat.S_IMODE((folder / LABEL.file).stat().st_mode) & 0o022  # others may not write it


def test_what_the_package_brings_comes_first(folder: Path) -> None:
    (folder / "shipped").mkdir()
    keep(pack(LABEL, b"ours"), LABEL.file)
    keep(pack(LABEL, b"shipped"), LABEL.file, folder / "shipped")
    assert find(LABEL) == b"shipped"


@pytest.mark.parametrize("other", [Label("cascade", LABEL.level, LABEL.triple),
                                   Label(LABEL.name, "x86-64-v4", LABEL.triple),
                                   Label(LABEL.name, LABEL.level, "aarch64-unknown-linux-gnu")])
def test_what_is_not_asked_for_is_not_taken(other: Label) -> None:
    keep(pack(other, b"code"), LABEL.file)
    assert find(LABEL) is None


def test_code_of_other_sources_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(keeping, "source_digest", lambda: "0123456789abcdef")
        keep(pack(LABEL, b"code"), LABEL.file)
    assert find(LABEL) is None


@given(st.binary(max_size=400), st.data())
def test_a_damaged_file_counts_as_missing(content: bytes, data: st.DataObject) -> None:
    packed = pack(LABEL, content)
    assert unpack(LABEL, packed) == content
    place = data.draw(st.integers(0, len(packed) - 1))
    flipped = packed[:place] + bytes([packed[place] ^ data.draw(st.integers(1, 255))]) + packed[place + 1:]
    assert unpack(LABEL, flipped) in (None, content)  # the same JSON can be written in several ways
    assert unpack(LABEL, packed[:place]) is None
    assert unpack(LABEL, packed + b"x") is None


@given(st.binary(max_size=200))
def test_what_is_no_such_file_counts_as_missing(packed: bytes) -> None:
    assert unpack(LABEL, packed) is None


def test_where_nothing_can_be_written_nothing_is_left(folder: Path) -> None:
    assert not keep(pack(LABEL, b"code"), LABEL.file, folder / "missing")
    assert not list(folder.iterdir())


def test_a_full_disk_leaves_nothing_half_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "replace", full)
    assert not keep(pack(LABEL, b"code"), LABEL.file)
    assert not list(folder.iterdir())


def test_a_file_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(pack(LABEL, b"code"), LABEL.file)
    monkeypatch.setattr(keeping, "_LARGEST", 10)
    assert find(LABEL) is None


def test_without_a_place_of_ones_own_all_is_made_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "own_folder", lambda: None)
    assert not keep(pack(LABEL, b"code"), LABEL.file)
    assert find(LABEL) is None
    with locked(LABEL.file):
        pass


def test_the_same_file_is_made_by_one_at_a_time() -> None:
    order: list[str] = []
    inside = threading.Event()

    def second() -> None:
        inside.wait()
        with locked(LABEL.file):
            order.append("second")

    waiting = threading.Thread(target=second)
    waiting.start()
    with locked(LABEL.file):
        inside.set()
        waiting.join(0.2)
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def test_a_table_is_computed_once(folder: Path) -> None:
    made: list[int] = []

    def make() -> np.ndarray:
        made.append(1)
        return np.linspace(0.0, 1.0, 7)

    first = kept("lengths", make)
    assert np.array_equal(kept("lengths", make), first)
    assert len(made) == 1
    (folder / "lengths").write_bytes((folder / "lengths").read_bytes()[:-1])
    assert np.array_equal(kept("lengths", make), first)
    assert len(made) == 2
