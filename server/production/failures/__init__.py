"""Failures: why tasks fail, who is to blame, and what is done about it.

In: ends of tasks, tallies of places. Out: blame, more resources, quarantine of hosts, explanations.
"""

__all__ = ["explain", "failures", "places", "policy", "quarantine", "tallies", "usage"]
