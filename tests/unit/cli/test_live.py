"""What a running task prints is printed once, in order, however its ends come."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from iceprod.cli.work.live import Live


def told(data: bytes, most: int, instance: str = "i") -> dict[str, object]:
    return {"instance_id": instance, "tails": {
        "stdout": {"size": len(data), "text": data[-most:].decode("utf8", "replace")}}}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.lists(st.text("abc\n", max_size=20), max_size=8), st.booleans())
def test_nothing_is_printed_twice(capsys: pytest.CaptureFixture[str], pieces: list[str], ends: bool) -> None:
    capsys.readouterr()
    live, whole = Live(), ""
    for piece in pieces:
        whole += piece
        live.show(told(whole.encode(), 10_000))
        live.show(told(whole.encode(), 10_000))
    if ends:
        live.end({"name": "stdout", "timestamp": "2026-01-01T00:00:00", "data": whole + "the end\n"})
        whole += "the end\n"
    assert capsys.readouterr().out == whole


def test_what_came_too_fast_is_named_and_comes_with_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    live = Live()
    live.show(told(b"0123", 4))
    live.show(told(b"0123456789", 4))
    live.end({"name": "stdout", "timestamp": "2026-01-01T00:00:00", "data": "0123456789"})
    assert capsys.readouterr().out == "0123[... 2 bytes left out ...]\n67890123456789"


def test_the_next_attempt_begins_anew_and_other_names_are_not_printed(
        capsys: pytest.CaptureFixture[str]) -> None:
    live = Live(("stdout",))
    live.show(told(b"one\n", 99))
    live.show(told(b"two\n", 99, "j"))
    live.show({"instance_id": "j", "tails": {"stderr": {"size": 3, "text": "no\n"}}})
    live.show({})
    assert capsys.readouterr().out == "one\ntwo\n"
