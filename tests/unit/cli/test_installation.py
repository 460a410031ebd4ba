"""Data directories: who runs in them, and that nobody else may look."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

from iceprod.installation import Installation, Running, make_private, running_installations
from iceprod.tokens import decode


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def announced(here: Installation) -> Running:
    running = Running(pid=os.getpid(), url="http://127.0.0.1:9", data=str(here.data), started="now")
    here.announce(running)
    return running


def test_one_supervisor_at_a_time(tmp_path: Path) -> None:
    here = Installation(tmp_path / "data")
    assert not here.is_running()
    with here.lock() as first:
        assert first
        assert here.is_running()
        assert here.supervisor() == os.getpid()
        with here.lock() as second:
            assert not second
        assert here.is_running()
    assert not here.is_running()
    assert here.supervisor() == 0


def test_the_lock_ends_with_the_process(tmp_path: Path) -> None:
    code = ("import os, sys; from iceprod.installation import Installation\n"
            "with Installation(sys.argv[1]).lock() as ours: os._exit(0 if ours else 1)")
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "d")], check=False).returncode == 0
    assert not Installation(tmp_path / "d").is_running()


def test_what_runs_is_found(tmp_path: Path) -> None:
    one, other = Installation(tmp_path / "one"), Installation(tmp_path / "other")
    assert running_installations() == []
    with one.lock(), other.lock():
        running = announced(one)
        announced(other)
        assert one.running() == running
        assert [found.data for found in running_installations()] == [one.data, other.data]
        one.withdraw()
        assert [found.data for found in running_installations()] == [other.data]
    assert running_installations() == []
    assert other.running() is None


def test_a_broken_note_is_no_note(tmp_path: Path) -> None:
    here = Installation(tmp_path / "data")
    with here.lock():
        announced(here)
        here.up_file.write_text("{")
        assert here.running() is None


def test_only_the_owner_may_look(tmp_path: Path) -> None:
    here = Installation(tmp_path / "data")
    with here.lock():
        announced(here)
        token = here.token("me", "user")
    assert mode(here.data) == 0o700
    assert {mode(path) for path in here.data.iterdir()} == {0o600}
    assert decode((here.data / "secret").read_text(), token).roles == {"user"}


def test_a_directory_that_is_not_ours_alone_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir(mode=0o755)
    (tmp_path / "mine" / "thesis.tex").touch()
    make_private(tmp_path / "mine")
    assert mode(tmp_path / "mine") == 0o755
    (tmp_path / "empty").mkdir(mode=0o755)
    make_private(tmp_path / "empty")
    assert mode(tmp_path / "empty") == 0o700
