"""The tasks of a dataset's jobs and what each depends on, as a small SVG whose boxes lead to the tasks.

Tasks stand in rows below all that they depend on. When there are many, those of one depth whose names differ
by numbers alone share a box; when these are many still, all of one depth do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlencode

from tornado.escape import xhtml_escape

from iceprod.dataset_config import ConfigError, dependency_index, task_names
from iceprod.states import TASK

__all__ = ["MOST", "Box", "boxes", "draw"]

MOST = 30  # boxes
PER_ROW = 3
WIDTH, HEIGHT, ACROSS, DOWN, MARGIN = 184, 46, 16, 30, 4  # of a box, between boxes, around all
LETTERS = 20
Counts = Mapping[str, Mapping[str, int]]  # tasks by name and status


@dataclass
class Box:
    """Tasks that are drawn together."""

    title: str
    depth: int
    names: list[str] = field(default_factory=list)
    before: set[int] = field(default_factory=set)  # the boxes that these depend on
    outside: int = 0  # dependencies on tasks of other datasets
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def style(self) -> str:
        """Its colour: what needs most attention comes first."""
        for style, states in (("bad", ("failed",)), ("busy", ("processing", "queued")),
                              ("wait", ("waiting", "reset")), ("idle", ("idle", "suspended"))):
            if any(self.counts.get(state) for state in states):
                return style
        return "good" if self.total else "idle"

    @property
    def words(self) -> str:
        """How far its tasks are."""
        if not self.total:
            return "no tasks yet"
        told = [f"{self.counts[state]} {state}" for state in TASK.states
                if state != "complete" and self.counts.get(state)]
        return ", ".join([f"{self.counts.get('complete', 0)} of {self.total} complete", *told])


def boxes(config: Mapping[str, object], counts: Counts) -> list[Box]:
    """What to draw of a configuration; nothing of one without tasks."""
    names = task_names(config)
    before = [_before(config, names, index) for index in range(len(names))]
    depths: list[int] = []
    for earlier, _ in before:
        depths.append(1 + max((depths[one] for one in earlier), default=-1))
    place = _places(names, depths)
    found: dict[int, Box] = {}
    for index, name in enumerate(names):
        box = found.setdefault(place[index], Box(name, depths[index]))
        box.names.append(name)
        box.before |= {place[one] for one in before[index][0]} - {place[index]}
        box.outside += before[index][1]
    for box in found.values():
        _finish(box, counts)
    return [found[number] for number in sorted(found)]


def _before(config: Mapping[str, object], names: list[str], index: int) -> tuple[set[int], int]:
    """The tasks of the job that one depends on, and how many others."""
    task = config["tasks"][index]  # type: ignore[index]
    found, outside = set(), 0
    for depends in task.get("depends") or ():
        try:
            earlier = dependency_index(names, index, depends)
        except ConfigError:  # old configurations may hold what nobody resolves
            earlier = None
        if earlier is None:
            outside += 1
        else:
            found.add(earlier)
    return found, outside


def _places(names: Sequence[str], depths: Sequence[int]) -> list[int]:
    """The number of the box that each task stands in; numbers follow depth."""
    keys: list[tuple[int, str]] = [(depth, f"{index:09}") for index, depth in enumerate(depths)]
    if len(set(keys)) > MOST:
        keys = [(depth, re.sub(r"\d+", "#", name)) for name, depth in zip(names, depths, strict=True)]
    if len(set(keys)) > MOST:
        keys = [(depth, "") for depth in depths]
    if len(set(keys)) > MOST:
        keys = [(depth * MOST // (max(depths) + 1), "") for depth in depths]
    order = {key: number for number, key in enumerate(sorted(set(keys)))}
    return [order[key] for key in keys]


def _finish(box: Box, counts: Counts) -> None:
    for name in dict.fromkeys(box.names):
        for state, number in counts.get(name, {}).items():
            box.counts[state] = box.counts.get(state, 0) + number
    if len(box.names) > 1:
        stem = re.sub(r"\d+", "#", box.names[0])
        alike = all(re.sub(r"\d+", "#", name) == stem for name in box.names)
        box.title = f"{stem if alike else 'tasks'} ×{len(box.names)}"


# -- drawing


@dataclass(frozen=True)
class _Place:
    left: float
    top: float


def _layout(found: Sequence[Box]) -> tuple[list[_Place], int, int]:
    """Where each box stands, and how large all is: a row has a few boxes of one depth."""
    rows: list[list[int]] = []
    for number, box in enumerate(found):
        same = rows and found[rows[-1][0]].depth == box.depth and len(rows[-1]) < PER_ROW
        rows[-1].append(number) if same else rows.append([number])
    columns = max((len(row) for row in rows), default=1)
    width = columns * WIDTH + (columns - 1) * ACROSS + 2 * MARGIN
    places: dict[int, _Place] = {}
    for line, row in enumerate(rows):
        left = (width - len(row) * WIDTH - (len(row) - 1) * ACROSS) / 2
        for column, number in enumerate(row):
            places[number] = _Place(left + column * (WIDTH + ACROSS), MARGIN + line * (HEIGHT + DOWN))
    height = len(rows) * (HEIGHT + DOWN) - DOWN + 2 * MARGIN
    return [places[number] for number in range(len(found))], width, height


def draw(found: Sequence[Box], root: str) -> str:
    """The drawing; `root` is the address of the dataset's page. Empty without boxes."""
    if not found:
        return ""
    places, width, height = _layout(found)
    label = "; ".join(_told(found, box) for box in found)
    parts = [f'<svg class="graph" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
             f'role="group" aria-label="{xhtml_escape(f"Dependencies of tasks: {label}")}">']
    for number, box in enumerate(found):
        parts += [_way(places[one], places[number]) for one in sorted(box.before)]
    parts += [_box(box, place, root) for box, place in zip(found, places, strict=True)]
    return "".join([*parts, "</svg>"])


def _told(found: Sequence[Box], box: Box) -> str:
    after = ", ".join(found[one].title for one in sorted(box.before))
    outside = f"{box.outside} of other datasets" if box.outside else ""
    all_after = ", ".join(filter(None, (after, outside)))
    return f"{box.title}{f' after {all_after}' if all_after else ''}: {box.words}"


def _way(start: _Place, end: _Place) -> str:
    x1, y1, x2, y2 = start.left + WIDTH / 2, start.top + HEIGHT, end.left + WIDTH / 2, end.top
    bend = max(DOWN / 2, (y2 - y1) / 2)
    return (f'<path class="way" d="M{x1:g},{y1:g} C{x1:g},{y1 + bend:g} {x2:g},{y2 - bend:g} '
            f'{x2:g},{y2:g}"/>')


def _box(box: Box, place: _Place, root: str) -> str:
    done = WIDTH * box.counts.get("complete", 0) / box.total if box.total else 0
    title = box.title if len(box.title) <= LETTERS else f"{box.title[:LETTERS - 1]}…"
    which = f"?{urlencode({'name': box.names[0]})}" if len(set(box.names)) == 1 else ""
    others = f"; also after {box.outside} of other datasets" if box.outside else ""
    words = f"{box.title}: {box.words}{others}"
    x, y = place.left, place.top
    return (f'<a href="{root}/tasks{xhtml_escape(which)}" aria-label="{xhtml_escape(words)}">'
            f'<title>{xhtml_escape(words)}</title>'
            f'<rect class="box {box.style}" x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
            f'<rect class="done" x="{x:g}" y="{y + HEIGHT - 5:g}" width="{done:.1f}" height="5" rx="2"/>'
            f'<text x="{x + 9:g}" y="{y + 19:g}">{xhtml_escape(title)}</text>'
            f'<text class="far" x="{x + 9:g}" y="{y + 35:g}">{_far(box)}</text></a>')


def _far(box: Box) -> str:
    if not box.total:
        return "no tasks yet"
    failed = f", {box.counts['failed']} failed" if box.counts.get("failed") else ""
    return f"{box.counts.get('complete', 0)} of {box.total}{failed}"
