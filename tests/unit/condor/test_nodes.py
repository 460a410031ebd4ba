"""Which share of a machine one pilot takes."""

from __future__ import annotations

from grid.condor.nodes import share_of
from grid.condor.site import Size

NODE = {"Machine": "a", "TotalSlotCpus": 64, "TotalSlotMemory": 128_000, "TotalSlotDisk": 500_000_000}


def test_half_of_the_usual_machine() -> None:
    small = {**NODE, "TotalSlotCpus": 8}
    assert share_of([NODE, NODE, small], 2) == Size(cores=32, memory=63.8, disk=243.2)
    assert share_of([NODE], 1) == Size(cores=64, memory=127.5, disk=486.4)


def test_what_the_pool_does_not_tell_is_not_guessed() -> None:
    assert share_of([], 2) is None
    assert share_of([{"Machine": "a", "TotalSlotCpus": 8}], 2) is None
