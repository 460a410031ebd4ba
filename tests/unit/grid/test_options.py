"""What a pilot finds out about the slot that it runs in."""

from __future__ import annotations

from pathlib import Path

import pytest

from grid.condor.ends import of_exit
from grid.pilot import main, worker
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


@pytest.mark.parametrize(("absent", "words", "pixels"), [
    ("", [], True), ("", ["--no-pixels"], False), ("numpy", [], False), ("scanner", [], False)])
def test_a_pilot_without_the_scanner_offers_no_pixels(absent: str, words: list[str], pixels: bool,
                                                      monkeypatch: pytest.MonkeyPatch,
                                                      caplog: pytest.LogCaptureFixture) -> None:
    find, seen = worker.find_spec, []
    monkeypatch.setattr(worker, "find_spec", lambda name: None if name == absent else find(name))
    monkeypatch.setattr(main, "run", lambda options, **_: seen.append(options) or 0)
    monkeypatch.setattr(main, "hide_memory", lambda: None)
    with caplog.at_level("INFO"):
        assert main.main(["--server", "http://x", "--token-file", "token", *words]) == 0
    [options] = seen
    assert options.pixels is pixels
    told = [line for line in caplog.messages if "pip install 'iceprod-scanner[scanner]'" in line]
    assert [f"{absent} is not installed here" in line for line in told] == [True] * bool(absent)
