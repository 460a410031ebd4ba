"""Tasks: their store, states and classes, and changes to one or many of them.

In: new tasks, wishes of users (suspend, reset). Out: tasks in their states; jobs and datasets that complete;
notes of what follows an end.
"""

__all__ = ["alarms", "bulk", "classes", "completion", "counting", "drawn", "follow_ups", "history", "kinds",
           "parked", "queueing", "requests", "task_changes", "task_store"]
