"""Services: what is done again and again, by one leader among all server processes.

In: `Service` lists of the families. Out: their runs under a leader lease; migrations at start.
"""

__all__ = ["leader"]
