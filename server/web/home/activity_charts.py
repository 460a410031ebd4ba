"""Charts of what sites do over time, from the series of activity."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from server.common.errors import BadRequest
from server.production.activity import slots
from server.production.activity.slots import COMPLETE, SPANS, Slot
from server.web.common.charts import Chart, Line

__all__ = ["SPAN", "SPAN_NAMES", "chosen_span", "cores", "ends", "queue", "tasks"]

SPAN = "1h"  # what is shown first
SPAN_NAMES = {"1h": "1 hour", "24h": "24 hours", "7d": "7 days"}
LONGEST = 3600
UNITS = (("s", 1), ("min", 60), ("h", LONGEST))
LEAST_SHARE = 0.25  # of a slot that has to be over before its rate is shown


def chosen_span(text: str | None) -> str:
    """The span that is asked for. Raises BadRequest."""
    if text and text not in SPANS:
        raise BadRequest(f"span: {text[:20]!r} is none of {', '.join(SPANS)}")
    return text or SPAN


def _chart(ident: str, name: str, span: str, lines: Sequence[Line], unit: str, *,
           whole: bool = False) -> Chart:
    now = time.time()
    return Chart(ident, name, lines, unit, whole, (now - SPANS[span][0], now))


def _line(name: str, style: str, found: Sequence[Slot], span: str,
          value: Callable[[Slot], float | None]) -> Line:
    """A line with a gap wherever a slot is missing."""
    step, by_begin = SPANS[span][1], {slot.begins: slot for slot in found}
    if not by_begin:
        return Line(name, style, [])
    begins = range(min(by_begin), max(by_begin) + step, step)
    return Line(name, style, [(begin + step / 2, value(by_begin[begin]) if begin in by_begin else None)
                              for begin in begins])


def _rate(span: str, count: Callable[[Slot], int]) -> Callable[[Slot], float | None]:
    """Ends per second of a slot; of the present one, over what is past of it."""
    step, now = SPANS[span][1], time.time()

    def rate(slot: Slot) -> float | None:
        seconds = min(step, now - slot.begins)
        return count(slot) / seconds if seconds >= LEAST_SHARE * step else None

    return rate


def _mean(gauge: str) -> Callable[[Slot], float | None]:
    return lambda slot: slot.mean(gauge)


def tasks(found: Sequence[Slot], span: str, ident: str = "rate") -> Chart:
    """Tasks that ended, per second; where that is little, per minute or hour."""
    good = _line("complete", "good", found, span, _rate(span, lambda slot: slot.ends[COMPLETE]))
    bad = _line("failed attempts", "bad", found, span, _rate(span, lambda slot: slot.bad))
    most = max([*good.known, *bad.known], default=0.0)
    unit, factor = next((unit, factor) for unit, factor in UNITS if most * factor >= 1 or factor == LONGEST)
    return _chart(ident, "Tasks ended", span, [_times(good, factor), _times(bad, factor)], f"tasks/{unit}")


def _times(line: Line, factor: float) -> Line:
    return Line(line.name, line.style, [(x, None if y is None else y * factor) for x, y in line.points])


def cores(found: Sequence[Slot], span: str, ident: str = "cores") -> Chart:
    """Cores offered by pilots, and those in use."""
    lines = [_line("offered", "idle", found, span, _mean("offered")),
             _line("in use", "busy", found, span, _mean("busy"))]
    return _chart(ident, "Cores", span, lines, "cores", whole=True)


def queue(found: Sequence[Slot], span: str, ident: str = "queue") -> Chart:
    """Tasks that wait for a pilot, and those that pilots hold."""
    lines = [_line("waiting", "wait", found, span, _mean("waiting")),
             _line("running", "busy", found, span, _mean("running"))]
    return _chart(ident, "Tasks waiting and running", span, lines, "tasks", whole=True)


def ends(found: Sequence[Slot]) -> list[tuple[str, int, str]]:
    """How attempts ended: reason, number and style, the most frequent first; complete ones lead."""
    total = slots.together(0, found).ends
    styles = {COMPLETE: "good", slots.EVICTED: "idle"}
    order = sorted((why for why in total if total[why]), key=lambda why: (why != COMPLETE, -total[why], why))
    return [(why, total[why], styles.get(why, "bad")) for why in order]
