"""Printing what a task prints while it runs, from the ends of it that come now and then."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Lines", "Live", "fresh_part"]

_MOST_KEPT = 4_000_000  # characters of one text, to know what of the final log is printed already


def fresh_part(printed: int, size: int, text: str) -> tuple[int, str]:
    """Of an end of `size` bytes when so many are printed: how many are missing, and what is new."""
    data = text.encode()
    new = size - printed
    if new <= 0:
        return 0, ""
    if new > len(data):
        return new - len(data), text
    return 0, data[len(data) - new:].decode("utf8", "replace")


@dataclass
class _Printed:
    size: int = 0
    text: str = ""
    is_whole: bool = True  # nothing was left out


@dataclass
class Live:
    """What was printed of the attempt that runs, by name of the text; `names` are wanted, or all."""

    names: tuple[str, ...] = ()
    _instance: str = ""
    _printed: dict[str, _Printed] = field(default_factory=dict)
    _last: str = ""

    wants_tails = True

    def state(self, status: str, reason: str) -> None:
        """Say which state the task is in now, and why."""
        print(f"== {status}: {reason}", file=sys.stderr)

    def show(self, told: dict[str, Any]) -> None:
        """Print what is new in an answer about the running attempt."""
        if told.get("instance_id", "") != self._instance:
            self._instance, self._printed = str(told.get("instance_id", "")), {}
        for name, tail in sorted((told.get("tails") or {}).items()):
            if not self.names or name in self.names:
                self._add(name, self._printed.setdefault(name, _Printed()), tail)

    def _add(self, name: str, printed: _Printed, tail: dict[str, Any]) -> None:
        missing, text = fresh_part(printed.size, tail["size"], tail["text"])
        if not text and not missing:
            return
        printed.size = tail["size"]
        printed.is_whole = printed.is_whole and not missing and len(printed.text) < _MOST_KEPT
        printed.text += text if printed.is_whole else ""
        self._head(name, "while it runs")
        if missing:
            print(f"[... {missing} bytes left out ...]")
        print(text, end="", flush=True)

    def end(self, log: dict[str, Any]) -> None:
        """Print a log that came with the end of an attempt, without what was printed already."""
        printed = self._printed.pop(log["name"], _Printed())
        data = str(log.get("data", ""))
        is_known = bool(printed.text) and printed.is_whole and data.startswith(printed.text)
        rest = data[len(printed.text):] if is_known else data
        if rest:
            self._head(log["name"], f"of {log['timestamp']} UTC")
            print(rest, end="", flush=True)

    def _head(self, name: str, when: str) -> None:
        """Say which text follows, where it is another than before."""
        if self._last != f"{name} {when}":
            self._last = f"{name} {when}"
            print(f"== {self._last}", file=sys.stderr, flush=True)


class Lines:
    """The same for programs: one JSON object a line, whole logs only."""

    wants_tails = False

    def state(self, status: str, reason: str) -> None:
        """Say which state the task is in now, and why."""
        print(json.dumps({"status": status, "reason": reason}), flush=True)

    def show(self, told: dict[str, Any]) -> None:
        """A part of a text is nothing to a program."""

    def end(self, log: dict[str, Any]) -> None:
        """Print a log that came with the end of an attempt."""
        print(json.dumps({"log": log}), flush=True)
