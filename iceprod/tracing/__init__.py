"""Traces: one id from a command over server and pilot to a task's programs, and who records what took long.

Takes in headers and fields with the id, gives them out. Pilots carry this to worker nodes, so all but `otel`
keeps to Python 3.9's standard library.
"""

__all__ = ["recording", "spans", "traces"]
