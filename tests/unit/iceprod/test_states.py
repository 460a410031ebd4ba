from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iceprod.states import DATASET, JOB, TASK, Machine

MACHINES = [DATASET, JOB, TASK]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda m: m.name)
def test_moves_lead_to_known_states(machine: Machine) -> None:
    assert machine.start in machine.states
    assert {new for targets in machine.moves.values() for new in targets} <= set(machine.states)
    assert not machine.moves["complete"]


@given(st.sampled_from(MACHINES), st.data())
def test_sources_and_moves_agree(machine: Machine, data: st.DataObject) -> None:
    old, new = (data.draw(st.sampled_from(machine.states)) for _ in range(2))
    assert machine.allows(old, new) == (old == new or old in machine.sources(new))


@given(st.one_of(st.none(), st.integers(), st.text(), st.lists(st.text())))
def test_only_names_are_states(value: object) -> None:
    assert TASK.knows(value) == (isinstance(value, str) and value in TASK.states)
