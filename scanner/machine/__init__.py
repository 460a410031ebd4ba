"""Machine code: the fits, compiled ahead for several instruction sets, and what else is made once and kept.

In: kernels, and arguments as they are called with. Out: functions that need no compiler, in files.
"""

__all__ = ["building", "entry", "keeping", "levels", "tables"]
