"""Records: what tasks leave behind: logs, statistics, files.

In: reports of pilots. Out: texts to search, problems grouped by form, numbers per task.
"""

__all__ = ["files", "log_search", "log_text", "logs", "problems", "tails", "task_stats"]
