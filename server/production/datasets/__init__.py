"""Datasets: what people submit, its config, its jobs, its priority.

In: configs and requests of users. Out: stored datasets and jobs that the later wings fill with tasks.
"""

__all__ = ["configs", "datasets", "jobs", "news", "priorities", "totals"]
