"""Simulation: events with a known truth.

In: direction, energy, seed. Out: an `Event` as the detector would have recorded it, and populations of them.
"""

__all__: list[str] = []
