"""What a pilot offers never goes below nothing, and all of it comes back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from grid.pilot.room import Room, Share

amounts = st.one_of(st.integers(0, 5), st.floats(0, 5, allow_nan=False))
requirements = st.fixed_dictionaries({}, optional={
    "cpu": st.integers(0, 5), "gpu": st.integers(0, 3), "memory": amounts, "disk": amounts,
    "os": st.just("x")})


class Rooms(RuleBasedStateMachine):
    """Takes and gives back in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.room = Room(4, 8.0, 10.0, ["0", "1"])
        self.before = self.room.free()
        self.taken: list[Share] = []

    @rule(wanted=requirements)
    def take(self, wanted: dict[str, float]) -> None:
        free = self.room.free()
        share = self.room.take(wanted)
        fits = all(wanted.get(name, 0) <= free[name] for name in free) and free["cpu"] >= 1
        assert (share is not None) == fits
        if share is not None:
            self.taken.append(share)

    @rule(position=st.integers(0, 10))
    def give(self, position: int) -> None:
        if self.taken:
            self.room.give(self.taken.pop(position % len(self.taken)))

    @invariant()
    def never_negative(self) -> None:
        assert all(value >= -0.01 for value in self.room.free().values())

    @invariant()
    def gpus_are_used_once(self) -> None:
        names = [name for share in self.taken for name in share.gpus] + self.room.gpus
        assert sorted(names) == ["0", "1"]

    def teardown(self) -> None:
        for share in self.taken:
            self.room.give(share)
        assert self.room.free() == self.before


TestRooms = Rooms.TestCase


@given(requirements)
def test_what_is_claimed_is_what_is_taken(wanted: dict[str, float]) -> None:
    room = Room(4, 8.0, 10.0, ["0", "1"])
    share = room.take(wanted)
    claimed = room.claimed()
    assert claimed["cpu"] == (share.cpu if share else 0)
    assert claimed["gpu"] == (len(share.gpus) if share else 0)


def test_a_task_takes_at_least_one_core() -> None:
    room = Room(1, 1.0, 1.0)
    assert room.take({"cpu": 0})
    assert room.take({}) is None
