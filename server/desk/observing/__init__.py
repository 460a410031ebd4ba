"""Observing: telescopes, instruments, allocations, runs and what is assigned to them, nights, finding charts.

In: requests of groups. Out: who may observe with what and when, and pictures to find a source by.
"""

__all__ = ["allocations", "assignments", "finders", "footprints", "instruments", "nights", "runs"]
