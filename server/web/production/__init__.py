"""Production: pages of datasets, jobs and tasks, and the buttons on them.

In: requests of people. Out: pages, and the actions of production that buttons ask for.
"""

__all__: list[str] = []
