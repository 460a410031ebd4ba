"""The life of a request, whatever happens to it in which order."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.desk.followup.states import Phase, may_become, phase_of, sources_of


@pytest.mark.parametrize(("status", "phase"), [
    ("submitted", Phase.OPEN), ("observed successfully", Phase.DONE), ("Completed", Phase.DONE),
    ("rejected: no time left", Phase.REJECTED), ("not observed", Phase.FAILED),
    ("failed: clouds", Phase.FAILED),
    ("observed unsuccessfully", Phase.FAILED), ("in queue", Phase.OPEN), ("deleted", Phase.DELETED),
    ("running: its map is being taken in", Phase.OPEN), ("undone", Phase.OPEN), ("incomplete", Phase.OPEN)])
def test_what_facilities_say(status: str, phase: Phase) -> None:
    assert phase_of(status) is phase


@given(st.text())
def test_any_text_has_a_phase(status: str) -> None:
    assert phase_of(status) in Phase


@given(st.lists(st.sampled_from(Phase)))
def test_nothing_follows_a_deletion_and_nobody_submits_what_is_over(steps: list[Phase]) -> None:
    phase, seen = Phase.PENDING, [Phase.PENDING]
    for step in steps:
        if may_become(phase, step):
            assert phase.value in sources_of(step)
            phase = step
            seen.append(phase)
    assert Phase.DELETED not in seen[:-1]
    for before, after in pairwise(seen):
        if after is Phase.PENDING:  # is sent anew
            assert before in (Phase.FAILED, Phase.REJECTED)
