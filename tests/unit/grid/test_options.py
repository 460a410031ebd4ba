"""What a pilot finds out about the slot that it runs in."""

from __future__ import annotations

from pathlib import Path

import pytest

from grid.condor.ends import of_exit
from grid.pilot.options import Options, slot_resource


def test_the_resource_of_a_glidein(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ad = tmp_path / ".machine.ad"
    ad.write_text('Name = "slot1@x"\nGLIDEIN_Site = "Badlands"\nGLIDEIN_ResourceName = "Badlands-CE1"\n')
    assert slot_resource(str(ad)) == "Badlands/Badlands-CE1"
    monkeypatch.setenv("_CONDOR_MACHINE_AD", str(ad))
    assert Options("http://x", tmp_path).registration("1")["resource"] == "Badlands/Badlands-CE1"


@pytest.mark.parametrize("text", ["", "GLIDEIN_Site = undefined\n", 'Machine = "node7"\n'])
def test_a_slot_that_says_nothing(text: str, tmp_path: Path) -> None:
    ad = tmp_path / "ad"
    ad.write_text(text)
    assert slot_resource(str(ad)) == ""
    assert slot_resource(str(tmp_path / "none")) == ""


def test_too_old_a_python_is_named() -> None:
    assert of_exit(78, None) == ("start", "the worker's Python is too old for pilots (status 78); "
                                          "see pilot: python")
