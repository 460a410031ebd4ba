"""Home: the first page, login, schedule, sites, documentation, administration.

In: requests of people. Out: pages.
"""

__all__: list[str] = []
