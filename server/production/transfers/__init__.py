"""Transfers: which files tasks move, where that can be done, and what they are lent for it.

In: what tasks are to run, stored credentials, what sites say they can move. Out: tokens and signed addresses
for one task's files, and in words which site can move which of them with what.
"""

__all__ = ["lending", "movable", "needs", "s3"]
