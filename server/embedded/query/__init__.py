"""Queries: which documents match, what of them is shown, how they are changed.

In: filters, projections and updates as clients write them. Out: functions of a document.
"""

__all__ = ["matching", "projection", "query", "update"]
