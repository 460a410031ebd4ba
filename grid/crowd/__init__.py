"""Thousands of pilots in one process, to see what a server makes of them: the pilot's own code without tasks.

What enters: how many pilots, of which site, and how fast their tasks shall end. What leaves: what they asked
for, how long claims took, and what went wrong. They run nothing: a task is held until it is told to end.
"""

__all__ = ["counted", "driving"]
