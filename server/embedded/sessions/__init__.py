"""Sessions: the store as a whole and who works in it: sessions, logins, expiry, checks.

In: connections and their commands. Out: one store that runs them one after the other.
"""

__all__ = ["checking", "scram", "store"]
