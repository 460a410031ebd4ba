"""Progress that only grows, and a server that is away."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from rich.console import Console

from iceprod import tokens
from iceprod.cli.common.talking import TalkingClient, expiry
from iceprod.cli.sky.follow import show_progress
from iceprod.transport import Refused


def at(*levels: tuple[int, int, int], final: bool = False) -> dict[str, Any]:
    rows = [{"nside": nside, "done": done, "total": total} for nside, done, total in levels]
    return {"levels": rows, "pixels_done": sum(row["done"] for row in rows), "state": "IN_PROGRESS",
            "pixels_total": sum(row["total"] for row in rows), "state_reason": "", "is_final": final}


def test_what_is_done_only_grows_in_a_log() -> None:
    out = io.StringIO()
    news = [{**at(), "state_reason": "waits for a pilot"}, at((8, 0, 768)), at((8, 768, 768)),
            at((8, 768, 768), (64, 100, 100)), at((8, 768, 768), (64, 100, 160)),  # grew, and is not done now
            at((8, 768, 768), (64, 160, 160), final=True)]
    show_progress(Console(file=out), iter(news))
    lines = out.getvalue().splitlines()
    assert lines[0] == "IN_PROGRESS: waits for a pilot"
    counts = [int(line.split()[0]) for line in lines[1:]]
    assert counts == [0, 768, 868, 928]
    assert "%" not in out.getvalue()
    assert lines[-1].endswith("the finest level is nside 64 with 160 of 160")


def test_a_server_that_is_away_is_told_once_and_its_return_too(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    moment = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: moment)
    client = TalkingClient("http://127.0.0.1:1")
    client.away("refused", 120.0)
    assert capsys.readouterr().err == ""
    moment = 112.0
    client.away("refused", 108.0)
    moment = 115.0
    client.away("refused", 105.0)
    said = capsys.readouterr().err
    assert said == "the server does not answer (refused); it is tried again for 108 s more\n"
    moment = 125.0
    client._back()
    assert capsys.readouterr().err == "after 25 s without the server\n"


@pytest.mark.parametrize(("token", "said"), [
    ("", "wants a token"), ("no token", "does not know the token"), (None, "the token expired at 20")])
def test_why_a_token_is_refused(token: str | None, said: str) -> None:
    token = tokens.encode("s" * 40, "bob", ["user"], hours=-1) if token is None else token
    client = TalkingClient("http://127.0.0.1:1", token)
    assert said in client._explained(Refused(403, "authentication failed"))


def test_words_for_people() -> None:
    client = TalkingClient("http://127.0.0.1:1")
    reason = "Attempted to delete a completed scan (must use `delete_completed_scan=True`)"
    text = client._explained(Refused(400, reason))
    assert "iceprod abort --completed" in text
    assert "iceprod scans" in client._explained(Refused(404, "manifest not found"))
    assert expiry("nonsense") is None
