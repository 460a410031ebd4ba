"""Why a file is not moved."""

from __future__ import annotations

__all__ = ["CannotTransfer", "NoMeans", "Stopped", "TransferFailed"]


class CannotTransfer(Exception):
    """Nobody can move such a file; the text names it."""


class NoMeans(Exception):
    """This pilot was not told how to move such a file, others may be; the text names it."""


class Stopped(Exception):
    """The task has to end; the text says why."""


class TransferFailed(Exception):
    """Moving a file failed this time; the text names it.

    `again`: whether it may go well soon. `after`: so many seconds later at the earliest. `refused`: whether
    the storage does not take our credential, so that another may do.
    """

    def __init__(self, text: str, *, again: bool = True, after: float = 0.0, refused: bool = False) -> None:
        super().__init__(text)
        self.again, self.after, self.refused = again, after, refused
