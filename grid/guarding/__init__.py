"""Starting programs of tasks so that nothing of them outlives its task.

A guard runs the programs of one dataset, one after the other, in a directory that is kept with it. Enters:
command lines, environments, and the sandbox's box. Leaves: how each program ended, and what it used.
"""

from __future__ import annotations

__all__ = ["contents", "directories", "keeper", "launcher"]
