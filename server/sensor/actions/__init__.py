"""Actions: what an entry can do: local work, datasets, scans, benchmarks, care of the house.

In: an entry's parameters. Out: an outcome for its acquisition. `actions.register` makes one known.
"""

__all__ = ["actions", "housekeeping"]
