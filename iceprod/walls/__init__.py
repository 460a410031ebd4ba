"""Walls around programs that others wrote: what they see of a machine, and how the kernel builds that.

In: paths that may be seen. Out: `Sandbox`, found by trying, and the calls that run a program in it. Needs no
more than Python 3.9's standard library, for the pilot carries it.
"""

__all__ = ["bubblewrap", "containers", "namespaces", "sandbox"]
