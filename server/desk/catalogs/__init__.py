"""Catalogs: crossmatches and queries to surveys and brokers outside.

In: a position or a region. Out: matches as notes, transients as objects.
"""

__all__ = ["crossmatch"]
