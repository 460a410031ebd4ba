"""The way: what carries an alert from its message to its notices, step by step, and what people may do to it.

In: stored messages, finished scans, decisions. Out: read alerts, scans, judged maps, queued notices.
"""

__all__ = ["accounts", "acts", "advance", "arriving", "linked_maps", "publishing", "rehearsals", "retention"]
