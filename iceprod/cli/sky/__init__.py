"""Sky: commands for scans: submit, watch, fetch maps, workers.

In: event files and scan ids. Out: maps and files.
"""

__all__: list[str] = []
