"""Long output keeps its beginning and its end."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grid.pilot.output import head_and_tail, last_line


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text("abc\n", max_size=300), head=st.integers(0, 50), tail=st.integers(1, 50))
def test_beginning_and_end_are_there(tmp_path: Path, text: str, head: int, tail: int) -> None:
    path = tmp_path / "log"
    path.write_text(text)
    shown = head_and_tail(path, head, tail)
    if len(text) <= head + tail:
        assert shown == text
    else:
        assert shown == f"{text[:head]}\n[... {len(text) - head - tail} bytes left out ...]\n{text[-tail:]}"


def test_a_missing_file_is_empty(tmp_path: Path) -> None:
    assert head_and_tail(tmp_path / "absent") == ""
    assert last_line(tmp_path / "absent") == ""


def test_the_last_line_that_says_something(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("first\n  the reason \n\n")
    assert last_line(path) == "the reason"
