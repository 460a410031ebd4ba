"""The track: a muon's hits, its likelihood, the fit and the search for a start.

In: an `Event` and directions. Out: fitted tracks; used by `recos` and, for its densities, by the simulation.
"""

__all__ = ["energy", "fit", "hits", "likelihood", "model", "paths", "plain", "reco", "search", "values"]
