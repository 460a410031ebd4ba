"""What all pages share: the handler, what the bar shows, how numbers look, charts, counters.

In: nothing of other pages. Out: `PageHandler`, lists of datasets and tasks as pages show them.
"""

__all__ = ["axes", "charts", "counters", "handler", "heat", "listing", "overview", "position", "show"]
