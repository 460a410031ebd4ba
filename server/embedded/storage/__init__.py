"""Storage: documents on disk, in transactions, seen by views of one moment.

In: writes. Out: collections with their indexes, locks, durable transactions (SQLite).
"""

__all__ = ["catalog", "locks", "storage", "transactions", "views", "writes"]
