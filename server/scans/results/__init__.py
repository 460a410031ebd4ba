"""Results: the map of a scan, now and final, as document, file and picture.

In: rows of batches. Out: results that only grow, and never change once final.
"""

__all__ = ["files", "maps", "pictures", "results"]
