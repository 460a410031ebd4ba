"""Reading: walks a plan's documents, sorted, covered by an index, or behind a cursor.

In: a plan and a view. Out: documents in order, in portions.
"""

__all__ = ["covered", "cursors", "queries", "scan"]
