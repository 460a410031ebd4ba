"""Reconstructions: the likelihood of a direction, and who offers which.

In: an `Event` and directions. Out: one row per direction: −2 ln L, vertex, energy. `recos` lists all
and finds one by its name; `energy` tells an event's energy; `track` holds the muon fit.
"""

__all__ = ["auto", "energy", "recos", "track"]
