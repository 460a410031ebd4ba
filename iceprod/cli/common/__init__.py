"""What all commands share: the connection, errors with an exit status, files, tables.

In: options. Out: a `Client`, `CommandError`, text on the screen.
"""

__all__ = ["completing", "connection", "errors", "files", "findings", "naming", "passing", "replaying",
           "screen", "shapes", "tables", "talking"]
