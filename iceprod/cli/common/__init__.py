"""What all commands share: the connection, errors with an exit status, files, tables.

In: options. Out: a `Client`, `CommandError`, text on the screen.
"""

__all__ = ["connection", "errors", "files", "findings", "passing", "replaying", "tables"]
