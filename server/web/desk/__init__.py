"""Desk: pages of the follow-up desk and its map.

In: requests of people. Out: pages.
"""

__all__: list[str] = []
