"""Schedule: entries, their times, and the runs that are due.

In: entries of users. Out: who is due when, by pure rules of time; runs that one leader takes.
"""

__all__ = ["entries", "taking", "times"]
