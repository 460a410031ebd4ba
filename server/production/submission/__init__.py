"""Submission: from a config to jobs and tasks.

In: a config, previews, actions on datasets. Out: tasks made late and once, the script of each for its pilot.
"""

__all__ = ["actions", "checks", "previews"]
