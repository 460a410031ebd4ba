"""Alerts: what came in, what was found, and what was told, with the buttons of a shift.

In: requests of people. Out: pages.
"""

__all__ = ["alert_pages"]
