"""Services: what is done again and again, by one leader among all server processes; and who these are.

In: `Service` lists of the families. Out: their runs under a leader lease; migrations at start; what server
processes tell each other.
"""

__all__ = ["leader"]
