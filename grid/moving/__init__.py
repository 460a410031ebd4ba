"""Moving files of tasks: what a task names goes in; files in its directory, or stored, come out.

Fetching, checking, caching, resuming and storing, with the standard library of Python 3.9 alone. Enters: the
evaluated data of a task, what the pilot may use, what the server lent. Leaves: errors in words, and counts.
"""

from __future__ import annotations

__all__ = ["cache", "checksums", "errors", "here", "items", "lent", "retries", "steps", "web"]
