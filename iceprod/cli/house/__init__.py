"""House: commands for the installation on this machine: up, down, status, demo, token.

In: a folder of data. Out: its processes and tokens.
"""

__all__: list[str] = []
