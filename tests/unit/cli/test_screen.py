"""What reaches the terminal: nothing of others that steers it, and tables that fit."""

from __future__ import annotations

import io
import sys

import pytest

from iceprod.cli.common.screen import guarded, safe
from iceprod.cli.common.tables import fitting, print_table


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_what_steers_a_terminal_is_shown_instead() -> None:
    unknown = "\N{REPLACEMENT CHARACTER}"
    assert safe("a\x1b[2Jb\x07\x9b31m\u202ec\td\n") == f"a␛[2Jb␇{unknown}31m{unknown}c\td\n"
    assert safe("two\nlines\r", kept="") == "two lines"


def test_a_terminal_is_guarded_and_a_file_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, file = Terminal(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setattr(sys, "stderr", file)
    with guarded():
        print("\x1b]0;owned\x07")
        print("\x1b]0;owned\x07", file=sys.stderr)
    assert terminal.getvalue() == "␛]0;owned␇\n"
    assert file.getvalue() == "\x1b]0;owned\x07\n"
    assert sys.stdout is terminal


def test_columns_shrink_from_the_widest() -> None:
    assert fitting([32, 10, 60], [4, 4, 4], 80) == [32, 10, 34]
    assert fitting([32, 10, 60], [4, 4, 4], 10) == [8, 8, 8]
    assert fitting([3, 4], [3, 4], 80) == [3, 4]


def test_a_table_on_a_terminal_fits_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    rows = [("a" * 32, "failed", "line one\nline \x1b[31mtwo " * 4)]
    print_table(("dataset_id", "status", "reason"), rows, "nothing")
    title, row = terminal.getvalue().splitlines()
    assert "\x1b[1m" in title
    assert "\x1b[31mfailed" in row
    assert "␛" in row or "…" in row
    bare = row.replace("\x1b[31m", "").replace("\x1b[0m", "")
    assert len(bare) <= 40


def test_a_table_in_a_file_is_whole(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("id", "reason"), [("a" * 32, "b" * 300)], "nothing")
    assert capsys.readouterr().out.splitlines()[1] == "a" * 32 + "  " + "b" * 300
