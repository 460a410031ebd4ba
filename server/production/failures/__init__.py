"""Failures: why tasks fail, who is to blame, and what is done about it.

In: ends of tasks, tallies of places. Out: blame, more resources, back-off, breakers of what
is away, quarantine of hosts, explanations.
"""

__all__ = ["attempts", "breakers", "explain", "failures", "news", "offers", "parking", "places", "policy",
           "quarantine", "standstill", "tallies", "trusted", "usage"]
