"""What is looked at of a site's token, without a pool."""

from __future__ import annotations

import json
from pathlib import Path

import jwt
import pytest

from config.settings import Settings
from grid import checks
from iceprod.checks.findings import State
from iceprod.checks.subject import Subject
from iceprod.tokens import encode


def _token_findings(folder: Path, token: str, mode: int = 0o600) -> dict[str, State]:
    """What is found of the token, by what is said; the server is away."""
    file, site = folder / "token", folder / "site.yaml"
    file.write_text(token)
    file.chmod(mode)
    site.write_text(json.dumps({"site": "north", "server": "http://127.0.0.1:9", "token_file": str(file),
                                "condor": {"config": str(folder / "absent")}}))
    found = checks.sites(Subject(Settings(), None, (site,)))
    return {finding.text: finding.state for finding in found if finding.check == "north token"}


@pytest.mark.parametrize(("hours", "word", "state"), [
    (24 * 365, "expires in 365 days", State.OK), (24, "expires in 1.0 days", State.ODD),
    (-24, "expired 1.0 days ago", State.WRONG),
])
def test_how_long_a_token_lasts(tmp_path: Path, hours: float, word: str, state: State) -> None:
    found = _token_findings(tmp_path, encode("s" * 40, "grid", ["system"], hours=hours))
    assert [one for text, one in found.items() if word in text] == [state]


def test_a_token_of_everybody(tmp_path: Path) -> None:
    found = _token_findings(tmp_path, encode("s" * 40, "grid", ["system"]), 0o644)
    assert [one for text, one in found.items() if "others than its owner" in text] == [State.WRONG]


def test_what_is_no_token_and_what_never_ends(tmp_path: Path) -> None:
    assert State.WRONG in _token_findings(tmp_path, "what is this?").values()
    found = _token_findings(tmp_path, jwt.encode({"sub": "grid"}, "s" * 40))
    assert [one for text, one in found.items() if "never" in text] == [State.ODD]


def test_a_site_file_that_is_wrong_and_one_without_a_pool(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("{site: x, sever: y}")
    found = list(checks.sites(Subject(Settings(), None, (tmp_path / "bad.yaml",))))
    assert [finding.state for finding in found] == [State.WRONG]
    assert "sever" in found[0].text
    _token_findings(tmp_path, "x")
    told = {finding.check: finding for finding in checks.sites(Subject(Settings(), None,
                                                                       (tmp_path / "site.yaml",)))}
    assert told["north condor"].state == State.WRONG
    assert "absent" in told["north condor"].text
