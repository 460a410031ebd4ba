"""Run: what carries a scan from the backlog to its final map.

In: manifests in the backlog, ended batches. Out: datasets of pixel tasks, the next pixels, the end.
"""

__all__ = [
    "backlog", "clusters", "collect", "creation", "deletion", "endings", "finish", "news", "priorities",
    "progress", "quotas", "rescans", "traces", "workers",
]
