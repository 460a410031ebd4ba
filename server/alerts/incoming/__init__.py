"""Incoming: how messages reach us, and what they say.

In: configured sources, bytes. Out: stored alerts that are read once; what a message is, or why it is refused.
"""

__all__ = ["reading", "s3_source", "sources"]
