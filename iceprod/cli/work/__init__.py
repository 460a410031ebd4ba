"""Work: commands for datasets, tasks, logs, sites and the schedule.

In: configs and ids. Out: what the server answers, as tables or JSON.
"""

__all__: list[str] = []
