"""The id that a command, its requests, what follows from them, and their lines of log have in common.

All sides carry it on as W3C Trace Context says (https://www.w3.org/TR/trace-context-1/), whether anybody
records spans or not.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from typing import Any, NamedTuple

__all__ = ["Trace", "current", "new", "of_document", "parse", "unrecorded", "within"]

_PARENT = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_MEMBER = re.compile(
    r"([a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"
    r"=[ -+\--<>-~]{0,255}[!-+\--<>-~]")
_MOST_PARENT, _MOST_READ = 512, 8192  # characters
_MOST_STATE, _MOST_MEMBER, _MOST_MEMBERS = 512, 128, 32
_SAMPLED = 1
_UNDECIDED = "iceprod=undecided"


class Trace(NamedTuple):
    """Where in which trace we are: 32 hexadecimal digits of the trace, 16 of the span that is at work.

    `sampled` says that somebody records it, `state` is what other tracing systems carry along (tracestate).
    """

    trace_id: str
    span_id: str
    sampled: bool = False
    state: str = ""

    @property
    def parent(self) -> str:
        """The header ``traceparent``."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    @property
    def undecided(self) -> bool:
        """Whether nobody who records has seen it yet: then its span is none, and its ids are all there is."""
        return not self.sampled and _UNDECIDED in self.state.split(",")

    def document(self) -> dict[str, str]:
        """As headers, or as fields that something remembers its trace by."""
        return {"traceparent": self.parent, **({"tracestate": self.state} if self.state else {})}

    def decided(self, span_id: str, sampled: bool) -> Trace:
        """The same trace at a span of somebody who decided whether to record it."""
        others = [member for member in self.state.split(",") if member and member != _UNDECIDED]
        return Trace(self.trace_id, span_id, sampled, ",".join(others))


current: ContextVar[Trace | None] = ContextVar("trace", default=None)
"""The trace of what is done now."""


def new() -> Trace:
    """A trace that begins here. Whether it is recorded, the first who records decides."""
    return Trace(os.urandom(16).hex(), os.urandom(8).hex(), state=_UNDECIDED)


def unrecorded() -> Trace:
    """One that nobody shall record: of what is asked again and again, and tells nothing by itself."""
    return Trace(os.urandom(16).hex(), os.urandom(8).hex())


def parse(parent: str | None, state: str | None = "") -> Trace | None:
    """The trace that two headers name; None when the first is not as the standard says.

    A state that is not as it says is dropped, and of a long one what is too much.
    """
    found = _PARENT.fullmatch(parent) if parent and len(parent) <= _MOST_PARENT else None
    if found is None or (found[1] == "00" and found[5]):
        return None
    sampled = bool(int(found[4], 16) & _SAMPLED)
    return Trace(found[2], found[3], sampled, _read_state(state) if state else "")


def of_document(document: Mapping[str, Any]) -> Trace | None:
    """The trace that `Trace.document` wrote there, if one did."""
    parent, state = document.get("traceparent"), document.get("tracestate")
    return parse(parent if isinstance(parent, str) else "", state if isinstance(state, str) else "")


def _read_state(text: str) -> str:
    members = [member for part in text[:_MOST_READ + 1].split(",") if (member := part.strip(" \t"))]
    found = [_MEMBER.fullmatch(member) for member in members]
    keys = {one[1] for one in found if one}
    if len(text) > _MOST_READ or len(members) > _MOST_MEMBERS or len(keys) < len(members):
        return ""
    if len(",".join(members)) > _MOST_STATE:
        members = [member for member in members if len(member) <= _MOST_MEMBER]
    while len(",".join(members)) > _MOST_STATE:
        members.pop()
    return ",".join(members)


@contextlib.contextmanager
def within(trace: Trace | None) -> Iterator[None]:
    """Do something as a part of a trace; of none, as a part of what there is already."""
    token = current.set(trace or current.get())
    try:
        yield
    finally:
        current.reset(token)
