"""Services outside: one way to reach them (`calls`), and one adaptor per service.

An adaptor knows its service's addresses and formats, and answers plain values; it knows nothing of rows.
"""

__all__ = ["archives", "brokers", "calls", "imports", "sky_pictures", "votables"]
