"""What ends a command, and with which exit status."""

from __future__ import annotations

__all__ = ["FAILED", "UNREACHABLE", "USAGE", "CommandError"]

FAILED, USAGE, UNREACHABLE = 1, 2, 3


class CommandError(Exception):
    """A command cannot go on; the text is what the user reads."""

    def __init__(self, text: str, status: int = FAILED) -> None:
        super().__init__(text)
        self.status = status
