"""Acquisitions: what came of each run of an entry.

In: outcomes of actions. Out: stored acquisitions with their metadata, within the share of the disk.
"""

__all__ = ["acquisitions", "callbacks", "disk", "news", "outcomes", "showing"]
