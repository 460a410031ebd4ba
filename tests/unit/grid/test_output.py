"""Long output keeps its beginning and its end."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grid.pilot.output import Tails, end_of, head_and_tail, last_line
from grid.pilot.room import Share
from grid.pilot.running import Running


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
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


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(data=st.binary(max_size=100), most=st.integers(1, 50))
def test_an_end_is_bounded_and_says_how_much_there_is(tmp_path: Path, data: bytes, most: int) -> None:
    (tmp_path / "log").write_bytes(data)
    assert end_of(tmp_path / "log", most) == (len(data), data[-most:].decode("utf8", "replace"))


def test_of_no_plain_file_nothing_is_read(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "pipe")
    assert [end_of(tmp_path / name, 9) for name in ("link", "pipe", "absent", ".")] == 4 * [(0, "")]


def test_what_is_watched_is_sent_when_it_is_new(tmp_path: Path) -> None:
    task = Running({"task_id": "t", "instance_id": "i"}, Share(1, 1.0, 1.0))
    pixels = Running({"task_id": "p", "instance_id": "i", "kind": "pixels"}, Share(1, 1.0, 1.0))
    tails, task.directory = Tails(), tmp_path
    out = tmp_path / "stdout"
    out.write_text("one\n")
    assert tails.news([task]) == {}
    tails.hear({"watch": ["t", "p", "other"]})
    assert tails.news([task, pixels]) == {
        "t": {"stdout": {"size": 4, "text": "one\n"}, "stderr": {"size": 0, "text": ""}}}
    assert tails.news([task, pixels]) == {}
    out.write_text("one\ntwo\n")
    assert tails.news([task])["t"]["stdout"] == {"size": 8, "text": "one\ntwo\n"}
    tails.hear({})
    out.write_text("one\ntwo\nthree\n")
    assert tails.news([task]) == {}
