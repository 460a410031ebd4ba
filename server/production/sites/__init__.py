"""Sites: grids, their pilots, and what administrators want of both.

In: reports of grids and pilots. Out: who is alive where, drained and stopped sites, figures for monitoring.
"""

__all__ = ["grids", "pilots", "site_control", "site_tests", "unserved"]
