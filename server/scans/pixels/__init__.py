"""Pixels: the batches a scan is cut into, their rows, and how far they are.

In: pixels to do, rows that came back. Out: stored batches and runs, tallies per level, estimates of the end.
"""

__all__ = ["batches", "cutting", "etas", "guessing", "runs", "tables", "tallies", "timing"]
