"""Outgoing: notices and the way to those who read them.

In: finished maps that the gate or a person let pass. Out: numbered notices, each sent to each target under
one key however often it is tried; what could not be sent, with the reason.
"""

__all__ = ["drafts", "known_sources", "names", "notices", "outbox", "targets"]
