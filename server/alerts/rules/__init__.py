"""Rules: what is done with an event, and whether its map may be told to the world.

In: facts of events and of maps, settings. Out: pure judgements with their reasons; the rules that are stored.
"""

__all__ = ["gate", "journal", "matching", "stored"]
