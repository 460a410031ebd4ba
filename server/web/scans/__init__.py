"""Scans: pages of the backlog, of one scan and its map.

In: requests of people. Out: pages, pixels for the map, the actions of scans that buttons ask for.
"""

__all__: list[str] = []
