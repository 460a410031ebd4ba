"""Manifests: what was asked for: the request, its event, its record.

In: bodies of requests. Out: checked requests, decoded events, stored manifests.
"""

__all__ = ["bodies", "decoding", "engines", "events", "filters", "manifests", "requests", "schema",
           "told"]
