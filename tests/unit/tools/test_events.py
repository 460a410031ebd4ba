"""`make events` writes only what the tests know, and says what to do when nobody answers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tools import events


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A mirror with one file, which is all that is wanted."""
    (tmp_path / "mirror" / "realtime_events").mkdir(parents=True)
    (tmp_path / "mirror" / "realtime_events" / "a.json").write_bytes(b"{}")
    monkeypatch.setattr(events, "listed", lambda: ("c0ffee", [
        events.File(hashlib.sha256(b"{}").hexdigest(), "realtime_events/a.json", "reference/a.json")]))
    monkeypatch.setenv("EVENTS_MIRROR", (tmp_path / "mirror").as_uri())
    monkeypatch.setenv("ICEPROD_TEST_DATA", str(tmp_path / "here"))
    return tmp_path


def test_files_are_fetched_once(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert events.main() == events.DONE
    assert (source / "here" / "events" / "reference" / "a.json").read_bytes() == b"{}"
    assert "1 files fetched" in capsys.readouterr().out
    assert events.main() == events.DONE
    assert "0 files fetched, 1 were there" in capsys.readouterr().out


def test_a_changed_file_is_refused(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source / "mirror" / "realtime_events" / "a.json").write_bytes(b"[]")
    assert events.main() == events.FAILED
    assert "not the file that the tests know" in capsys.readouterr().err
    assert not (source / "here").exists()


def test_without_a_network_it_says_what_to_do(source: Path, monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("EVENTS_MIRROR", "http://127.0.0.1:1")
    assert events.main() == events.UNREACHABLE
    told = capsys.readouterr().err
    assert "EVENTS_MIRROR=file://" in told
    assert "ICEPROD_TEST_DATA" in told


def test_the_list_is_whole() -> None:
    commit, files = events.listed()
    assert len(commit) == 40
    assert len({file.name for file in files}) == len(files) >= 10
    assert all(len(file.sha256) == 64 for file in files)
