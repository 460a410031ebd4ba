"""The pilot ends the heaviest task before the batch system ends the pilot."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from grid.pilot.options import Options
from grid.pilot.processes import group_memory
from grid.pilot.room import Share
from grid.pilot.running import Running, heaviest
from tests.unit.grid.test_pilot import running, shell


def _task(asked: float, used: float) -> Running:
    task = Running({"task_id": str(asked), "requirements": {"memory": asked}}, Share(1, asked, 1.0))
    task.memory = used
    return task


def test_the_heaviest_is_the_one_most_above_what_it_asked_for() -> None:
    big, small, unknown = _task(8.0, 8.1), _task(1.0, 2.0), _task(1.0, 0.0)
    assert heaviest([big, small, unknown]) is small
    small.over = "it ends already"
    assert heaviest([big, small]) is big
    assert heaviest([unknown]) is None


@pytest.mark.parametrize(("most", "expected"), [("4000000000", 2.5), ("max", 0.0), ("64000000000", 0.0)])
def test_a_control_group_counts_when_it_is_the_slots(tmp_path: Path, most: str, expected: float) -> None:
    (tmp_path / "group").write_text("1:name=systemd:/x\n0::/slot\n")
    (tmp_path / "slot").mkdir()
    (tmp_path / "slot/memory.max").write_text(most + "\n")
    (tmp_path / "slot/memory.current").write_text("3000000000\n")
    (tmp_path / "slot/memory.stat").write_text("anon 1\ninactive_file 500000000\n")
    assert group_memory(4.0, tmp_path, tmp_path / "group") == expected
    assert group_memory(4.0, tmp_path, tmp_path / "none") == 0.0


def test_a_task_ends_before_its_pilot_would(server: Any, options: Options) -> None:
    """A real program that holds 300 MB of a slot of 250, and asked for more."""
    program = "import time; x = bytearray(b'x') * 300_000_000; time.sleep(60)"
    hold = f'exec {sys.executable} -S -c "{program}"'
    options.slot_memory = 0.25
    with running(options) as pilot:
        task_id = server.add(shell(hold), requirements={"cpu": 1, "memory": 0.5})
        while not any(task.memory > 0.25 for task in pilot.running()):
            time.sleep(0.05)
        pilot.slot_memory.look(pilot.running())
        [end] = server.wait_for(f"/tasks/{task_id}/task_actions/reset")
    said = r"memory limit: the slot's 0\.25 GB were used up to [0-9.]+ GB, 0\.[0-9]+ GB of it by this task"
    assert re.match(said, end["reason"])
    assert end["resources"]["memory"] > 0.25
