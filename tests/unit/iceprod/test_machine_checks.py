"""What the doctor says of this machine."""

from __future__ import annotations

from pathlib import Path

import msgspec

from config.settings import Settings
from iceprod.checks.machine import walls
from iceprod.checks.subject import Subject


def test_walls_that_were_turned_off_are_turned_on_by_their_setting(tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    settings = Settings()
    pilots = msgspec.structs.replace(settings.pilots, isolation="off")
    told, = walls(Subject(msgspec.structs.replace(settings, data=str(tmp_path), pilots=pilots)))
    assert "turned off" in told.text
    assert told.advice.startswith("set pilots.isolation: auto")
