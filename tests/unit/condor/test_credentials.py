"""The pilots' token: fresh in its file while pilots wait, and renewed where they run."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from grid.condor import credentials
from grid.condor.credentials import PilotToken
from grid.condor.site import Site, Size
from grid.pilot.options import OwnToken, TokenFile


class Server:
    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []

    def post(self, path: str, body: dict[str, Any], repeat: bool = False) -> dict[str, Any]:
        assert path == "/create_token"
        self.asked.append(body)
        return {"result": f"token{len(self.asked)}"}


def test_the_file_is_renewed_every_quarter_of_an_hour(tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    server, site = Server(), Site(site="here", server="http://x", largest=Size(hours=24))
    token = PilotToken(server, site, tmp_path / "token")  # type: ignore[arg-type]
    moments = iter([1000.0, 1000.0, 1800.0, 1901.0, 1901.0])
    monkeypatch.setattr(credentials.time, "monotonic", lambda: next(moments))
    for _ in range(3):
        token.renew()
    assert (tmp_path / "token").read_text() == "token2"
    assert [body["exp"] for body in server.asked] == [26 * 3600] * 2


def test_a_pilots_own_token_is_renewed_before_it_ends(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("file")
    own = OwnToken(TokenFile(tmp_path / "token"))
    assert (own(), own.is_old) == ("file", False)
    assert own.take({"result": "p", "token": "a", "expires": 5.0, "expires_in": 4000.0}) == "p"
    assert (own(), own.is_old) == ("a", False), "whatever the worker's clock says"
    own.ends = time.monotonic() + 900
    assert (own(), own.is_old) == ("a", True)
    own.renew({"token": "b", "expires_in": 4000.0})
    own.renew({"drain": False})
    assert (own(), own.is_old) == ("b", False)
    own.ends = time.monotonic() + 1
    assert own() == "file"
    own.drop()
    assert (own(), own.is_old) == ("file", False)
