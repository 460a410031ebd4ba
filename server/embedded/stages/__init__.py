"""Stages of aggregation pipelines, each in `registry`, and `aggregate`, which runs them.

In: a pipeline as clients write it. Out: its documents.
"""

__all__ = ["aggregate", "registry"]
