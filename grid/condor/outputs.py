"""What pilots printed: kept for those that died, deleted for the others."""

from __future__ import annotations

import time
from pathlib import Path

from grid.condor.ends import End

__all__ = ["Outputs"]

_QUIET = frozenset({"finished", "removed"})
_TAIL = 4000  # characters
_SWEEP_SECONDS = 3600.0


class Outputs:
    """The directory into which HTCondor writes the pilots' outputs as they come."""

    def __init__(self, directory: Path, keep_hours: float) -> None:
        self.directory, self._keep = directory, keep_hours * 3600
        self._swept = float("-inf")

    def collect(self, end: End) -> str:
        """The last lines of a pilot that died; nothing for one that ended as it should, whose files go."""
        self._sweep()
        files = [self.directory / f"{end.id}{suffix}" for suffix in (".out", ".err")]
        if end.kind in _QUIET:
            for path in files:
                path.unlink(missing_ok=True)
            return ""
        return "\n".join(text for path in files if (text := _tail(path)))

    def _sweep(self) -> None:
        if time.monotonic() - self._swept < _SWEEP_SECONDS:
            return
        self._swept = time.monotonic()
        for path in self.directory.iterdir():
            if time.time() - path.stat().st_mtime > self._keep:
                path.unlink(missing_ok=True)


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - _TAIL))
            return file.read().decode("utf8", "replace").strip()
    except FileNotFoundError:
        return ""
