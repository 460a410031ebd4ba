"""What is installed is what was reviewed, and none of it has a known hole."""

from __future__ import annotations

from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from config.version import PRODUCT
from tools import audit

KNOWN = audit.reviewed(audit.CONSTRAINTS.read_text())
HOLES = audit.advisories(audit.ADVISORIES.read_text())


def test_what_is_installed_was_reviewed_and_has_no_known_hole() -> None:
    found = audit.findings(audit.installed(), KNOWN, HOLES)
    assert not found, "look at what changed, then write it into constraints.txt: " + "; ".join(found)


def test_the_closure_is_whole() -> None:
    here = audit.installed()
    assert {"tornado", "pymongo", "pyjwt", "cryptography", "cffi", "numpy", "msgspec"} <= set(here)
    assert PRODUCT not in here


@pytest.mark.parametrize("name", ["Makefile", "Containerfile"])
def test_installing_keeps_to_the_reviewed_versions(name: str) -> None:
    text = (audit.ROOT / name).read_text()
    installs = [line for line in text.splitlines()
                if "pip install" in line and "--upgrade pip" not in line]
    assert installs
    assert all("constraints.txt" in line for line in installs)


def test_what_is_wrong_is_told() -> None:
    here = {"tornado": "6.4", "new": "1", "numpy": "2.0", "pyyaml": "6.0"}
    known = {"tornado": "6.4", "numpy": "2.1", "gone": "1", "pyyaml": "6.0"}
    found = audit.findings(here, known, HOLES)
    assert [line.split(":")[0] for line in found] == [
        "new 1", "numpy 2.0", "gone 1", "tornado 6.4", "tornado 6.4"]
    assert "CVE-2025-47287" in found[-1]


def test_the_files_can_be_read() -> None:
    assert audit.reviewed("# head\nA_b==1.0  # why\n\n") == {"a-b": "1.0"}
    hole, = audit.advisories("x.y >=1,<2 CVE-1 so it is\n")
    assert (hole.name, hole.number, hole.what) == ("x-y", "CVE-1", "so it is")
    assert all(Version(version) for version in KNOWN.values())


def test_reviewed_versions_satisfy_what_the_product_and_its_extras_ask_for() -> None:
    lines = requires(PRODUCT) or []
    assert len(lines) > 40  # those of extras are among them
    for needed in map(Requirement, lines):
        assert needed.specifier.contains(KNOWN[audit.canonical(needed.name)]), needed


def test_the_tool_says_how_it_is(capsys: pytest.CaptureFixture[str], tmp_path: Path,
                                 monkeypatch: pytest.MonkeyPatch) -> None:
    assert audit.main() == 0
    (tmp_path / "constraints.txt").write_text("tornado==1.0\n")
    monkeypatch.setattr(audit, "CONSTRAINTS", tmp_path / "constraints.txt")
    assert audit.main() == 1
    assert "tornado" in capsys.readouterr().out
