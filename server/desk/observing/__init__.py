"""Observing: telescopes, instruments, allocations, finding charts.

In: requests of groups. Out: who may observe with what, and pictures to find a source by.
"""

__all__ = ["allocations", "finders", "footprints", "instruments"]
