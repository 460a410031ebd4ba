"""What is in a task's directory, and that nothing of it is overlooked because it was looked at before."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from grid.guarding import contents
from grid.guarding.contents import Contents

MADE = (".root", ".tmp", ".tmp/data", ".tmp/data/task")


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    found = tmp_path / "task"
    for name in ("", *MADE):
        (found / name).mkdir(mode=0o700)
    return found


CHANGES = {
    "a file": lambda one: (one / ".tmp/data/mine").write_bytes(b"12345"),
    "a directory": lambda one: (one / ".root/mine").mkdir(),
    "a link": lambda one: (one / ".tmp/data/task/mine").symlink_to("/etc"),
    "a link in place of one": lambda one: ((one / ".tmp/data/task").rmdir(),
                                           (one / ".tmp/data/task").symlink_to("/etc")),
    "rights": lambda one: (one / ".tmp").chmod(0o777),
    "an attribute": lambda one: os.setxattr(one / ".tmp/data", "user.mine", b"1"),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("is_believed", [True, False])
def test_a_change_is_seen(directory: Path, change: str, is_believed: bool,
                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_COARSE", 0.0 if is_believed else 2.0)
    seen = Contents(directory)
    assert seen.restored(MADE)
    assert seen.size() == 0.0
    assert seen.restored(MADE)
    time.sleep(0.02)  # clocks of file systems are as coarse as the kernel's tick
    CHANGES[change](directory)
    assert not seen.restored(MADE)
    assert seen.size() == (5e-9 if change == "a file" else pytest.approx(0.0, abs=1e-8))


def test_what_a_coarse_clock_does_not_tell_is_looked_for(directory: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_state", lambda status: (status.st_ino,))
    seen = Contents(directory)
    assert seen.restored(MADE)
    (directory / ".tmp" / "mine").touch()
    assert not seen.restored(MADE)


def test_what_nobody_changed_is_not_opened_again(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "_COARSE", 0.0)
    seen, opened = Contents(directory), []
    assert seen.restored(MADE)
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: opened.append(path) or scandir(path))
    (directory / "stdout").write_bytes(b"123")
    assert seen.size() == 3e-9
    assert opened == [str(directory)]


def _print_and_cut(path: Path) -> None:
    path.write_text("secret")
    os.truncate(path, 0)


TRACES = {
    "nothing": lambda one: None,
    "text": lambda one: one.write_text("secret"),
    "text that was cut": _print_and_cut,
    "rights": lambda one: one.chmod(0o666),
    "a time": lambda one: os.utime(one, (1, 1)),
    "an attribute": lambda one: os.setxattr(one, "user.mine", b"1"),
    "a second name": lambda one: os.link(one, one.parent.parent / "second"),
    "another kind": lambda one: (one.unlink(), os.mkfifo(one)),
    "a link": lambda one: (one.unlink(), one.symlink_to("/etc/passwd")),
}


@pytest.mark.parametrize("trace", TRACES)
def test_files_that_programs_print_to_stay_while_they_are_new(directory: Path, trace: str) -> None:
    seen, printed = Contents(directory), directory / "stdout"
    os.close(os.open(printed, os.O_CREAT | os.O_WRONLY, 0o600))
    time.sleep(0.02)
    TRACES[trace](printed)
    assert seen.restored(MADE)
    assert os.path.lexists(printed) == (trace == "nothing")


def test_a_directory_in_place_of_such_a_file_is_told(directory: Path) -> None:
    (directory / "stdout").mkdir()
    with pytest.raises(OSError, match="stdout"):
        Contents(directory).restored(MADE)


def test_what_is_gone_has_no_size(tmp_path: Path) -> None:
    assert Contents(tmp_path / "gone").size() == 0.0
    with pytest.raises(OSError, match="gone"):
        Contents(tmp_path / "gone").restored(())
