"""Sending: rows that wait to be sent, and the ways on which letters and posts leave.

In: rows under keys, addresses. Out: each row sent under its one key, or given up with the reason.
"""

__all__ = ["hooks", "mail", "outbox"]
