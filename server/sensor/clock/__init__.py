"""Clock: the scheduler that ticks, and the SCOS API of sensor, schedule and acquisitions.

In: ticks and HTTP requests. Out: actions begun, asked after and ended; answers.
"""

__all__ = ["asking", "state"]
