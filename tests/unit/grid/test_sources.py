"""Programs in the task's directory are made executable, and nothing else is."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from grid.pilot.modules import Command
from grid.pilot.sources import placed


@pytest.mark.parametrize(("name", "mode"), [("tool", 0o744), ("link", 0o644), ("bin/tool", 0o644)])
def test_what_a_link_leads_to_keeps_its_mode(tmp_path: Path, name: str, mode: int) -> None:
    """As in a virtual environment that a task makes, whose Python is the system's: chmod would be refused."""
    own, outside = tmp_path / "task", tmp_path / "outside"
    for folder in (own, outside):
        folder.mkdir()
        (folder / "tool").write_text("#!/bin/sh\n")
        (folder / "tool").chmod(0o644)
    (own / "link").symlink_to(outside / "tool")
    (own / "bin").symlink_to(outside)
    argv = placed(Command("work", [name], False, {}, 0), [name], own)
    assert argv == [name if "/" in name else f"./{name}"]
    assert stat.S_IMODE((own / name).stat().st_mode) == mode
