"""People: who visits the desk, their groups, and the handler that knows them.

In: tokens and requests. Out: `DeskHandler`, users, groups, the desk's own state.
"""

__all__ = ["groups", "handler", "people"]
