"""The pilot: leases tasks and runs them on a worker node.

It needs Python 3.9's standard library only, besides `iceprod.transport` and `iceprod.processes.launch`, which
keep to the same, so that one zip file of it starts on any grid node.
"""

__all__ = ["ends", "main", "options", "pilot", "running"]
