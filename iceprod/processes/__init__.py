"""Programs that we start, here and below tasks: they end with us, are started again, and say that they work.

In: command lines. Out: `Child`, which is kept running, the command line of what cannot outlive us, and both
ends of the watchdog. `launch` needs no more than Python 3.9's standard library, for the pilot carries it.
"""

__all__ = ["children", "launch", "watchdog"]
