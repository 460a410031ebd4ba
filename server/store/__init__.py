"""Store: the connection to the database, and the indexes that it needs.

In: settings, lists of indexes of the families. Out: a database of PyMongo's, counted in the metrics.
"""

__all__ = ["away", "database", "duplicates"]
