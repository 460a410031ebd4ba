"""What the server saw of a request, against how it was sent; and clocks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import msgspec
import pytest

from config.settings import Settings
from iceprod.checks.clocks import clock
from iceprod.checks.connection import path, peers, proxy
from iceprod.checks.examination import examine
from iceprod.checks.findings import State
from iceprod.checks.subject import Subject
from iceprod.transport import Client, Refused

PLAIN = {"peer": "127.0.0.1", "address": "127.0.0.1", "is_forwarded": False, "is_trusted": False,
         "host": "localhost:8080", "public_url": ""}
BEHIND = {"peer": "10.0.0.5", "address": "192.0.2.7", "is_forwarded": True, "is_trusted": True,
          "host": "ice.example.org", "public_url": "https://ice.example.org"}


def _found(url: str, **seen: Any) -> list[tuple[str, str]]:
    return [(finding.check, finding.state) for finding in proxy(url, seen)]


def test_nothing_is_said_without_a_proxy() -> None:
    assert _found("http://localhost:8080", **PLAIN) == []


def test_a_proxy_that_does_all_it_should() -> None:
    assert _found("https://ice.example.org", **BEHIND) == [("proxy", State.OK)]


@pytest.mark.parametrize(("changed", "found"), [
    ({"is_forwarded": False}, ("proxy", State.WRONG)),
    ({"is_trusted": False}, ("proxy", State.WRONG)),
    ({"host": "127.0.0.1:8080"}, ("proxy", State.ODD)),
    ({"public_url": ""}, ("address", State.WRONG)),
    ({"public_url": "https://other.example.org"}, ("address", State.ODD)),
])
def test_each_fault_of_a_proxy_is_told(changed: dict[str, Any], found: tuple[str, str]) -> None:
    assert found in _found("https://ice.example.org", **{**BEHIND, **changed})


def test_the_advice_names_the_proxy() -> None:
    told = next(proxy("https://ice.example.org", {**BEHIND, "is_trusted": False}))
    assert "trusted_proxies: [10.0.0.5]" in told.advice


def test_servers_that_do_not_hear_each_other() -> None:
    assert list(peers({})) == list(peers({"processes": 1, "here": 1, "not_heard": 0})) == []
    assert [finding.state for finding in peers({"processes": 3, "not_heard": 0})] == [State.OK]
    silent = next(peers({"processes": 3, "not_heard": 1}))
    assert (silent.state, "1 of 3" in silent.text, "UDP" in silent.advice) == (State.ODD, True, True)


@pytest.mark.parametrize(("skew", "took", "state"), [
    (0.5, 0.0, State.OK), (-3.0, 0.1, State.ODD), (30.0, 0.1, State.WRONG), (-30.0, 0.1, State.WRONG),
    (4.0, 3.0, State.OK),  # a slow answer tells nothing of so little
])
def test_a_clock_is_as_bad_as_it_surely_is(skew: float, took: float, state: State) -> None:
    assert clock("clock", "the server's", skew, took).state == state


class _Refusing:
    url = "http://localhost:8080"

    def __init__(self, status: int) -> None:
        self.status = status

    def get(self, path: str) -> Any:
        raise Refused(self.status, "no such route" if self.status == 404 else "authentication failed")


@pytest.mark.parametrize(("status", "found"), [(403, ("token", State.WRONG)), (404, ("server", State.ODD))])
def test_only_a_refused_token_is_called_one(status: int, found: tuple[str, str]) -> None:
    """An older server has no such route, and that says nothing of the token."""
    told, = path(Subject(Settings(), cast(Client, _Refusing(status))))
    assert (told.check, told.state) == found
    assert ("token" in told.text) == (status == 403)


def test_a_directory_of_another_account_is_told_as_that(tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    stat = Path.stat

    def refused(self: Path, **how: Any) -> Any:
        if tmp_path in self.parents:
            raise PermissionError(13, "Permission denied", str(self))
        return stat(self, **how)

    monkeypatch.setattr(Path, "stat", refused)
    subject = Subject(msgspec.structs.replace(Settings(), data=str(tmp_path)))
    assert subject.is_here
    found = {finding.check: finding for finding in examine(subject)}
    assert found["directory"].state == State.WRONG
    assert "run this as the account" in found["directory"].advice
    assert "may not look" in found["database"].text
