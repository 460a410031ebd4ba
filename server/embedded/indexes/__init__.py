"""Indexes: entries per document, and which index serves a query.

In: a filter and a collection's indexes. Out: bounds and a plan.
"""

__all__ = ["index", "planner"]
