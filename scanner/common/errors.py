"""Everything that can go wrong in the scanner, as one small hierarchy.

::

    ScannerError                 anything the scanner refuses or cannot do
      EventError                 bytes that are not a readable event
"""

from __future__ import annotations

__all__ = ["EventError", "ScannerError"]


class ScannerError(Exception):
    """The scanner cannot do what was asked; the text says why."""


class EventError(ScannerError):
    """An event cannot be read (or written); names the file, the frame and the byte offset.

    Attributes
    ----------
    reason : str
        What is wrong, without the place.
    source : str or None
        Name of the file or message.
    frame : str or None
        Which frame, such as ``"P"`` or ``"P/SplitInIcePulses"`` (an object of it).
    offset : int or None
        Byte offset in the decoded frame.
    """

    def __init__(self, reason: str, *, source: str | None = None, frame: str | None = None,
                 offset: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.source = source
        self.frame = frame
        self.offset = offset

    def __str__(self) -> str:
        place = [self.source or "event"]
        if self.frame is not None:
            place.append(f"frame {self.frame}")
        if self.offset is not None:
            place.append(f"byte {self.offset}")
        return f"{', '.join(place)}: {self.reason}"
