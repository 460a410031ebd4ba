"""Results: the map of a scan, now and final, as document, file, picture and sketch.

In: rows of batches. Out: results that only grow, and never change once final.
"""

__all__ = ["files", "maps", "pictures", "results", "sketches", "summaries"]
