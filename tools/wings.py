"""The wings of the house: who imports whom, in which order, and a picture of it.

``python -m tools.wings`` draws the picture into docs/architecture.md; ``--check`` says whether it is true.
`tests/unit/test_architecture.py` asks the same functions for what must not be.
"""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["HOUSES", "ORDER", "ROOT", "Arrow", "circles", "door", "edges", "floor", "main", "modules",
           "parting", "trespasses", "upward", "wings"]

ROOT = Path(__file__).parents[1]
HOUSES = ("config", "scanner", "iceprod", "grid", "server")
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- picture: make picture -->", "<!-- end of picture -->"

ORDER: dict[str, list[str]] = {
    "": ["config", "scanner iceprod", "grid server"],
    "scanner": ["common", "machine", "events maps", "light", "recos", "simulation"],
    "scanner.recos": ["track"],
    "iceprod": ["batch processes tracing walls", ".", "checks", "cli"],
    "iceprod.cli": ["common", "house work sky benching"],
    "grid": ["base bundle", "moving guarding", "pilot", "condor crowd"],
    "server": ["common embedded benching", "store", "rest", "services", "rules sending", "production",
               "archives scans", "sensor", "desk", "alerts", "notifications", "reference", "web"],
    "server.embedded": ["documents", "expressions", "query", "indexes", "storage", "reading", "sessions",
                        "stages", "commands"],
    "server.production": ["common", "people records activity", "datasets transfers", "tasks",
                          "submission failures", "leases", "sites"],
    "server.scans": ["manifests", "pixels", "results", "run", "api"],
    "server.desk": ["common", "outside", "people", "maps", "objects", "judgement", "observing",
                    "followup analyses", "plans", "rules", "catalogs"],
    "server.desk.analyses": ["programs"],
    "server.desk.analyses.programs": ["lightcurve_fit neutrino_association region_counts"],
    "server.alerts": ["common", "rules", "incoming outgoing", "way"],
    "server.sensor": ["common", "schedule", "acquisitions", "actions", "clock"],
    "server.web": ["common", "home production scans desk alerts"],
}
"""Of each package its wings, from the ground up; those of one line know nothing of each other. Files that lie
in the package itself stand above its wings (`.`: here they do not)."""


@dataclass(frozen=True, order=True)
class Arrow:
    """One module imports another."""

    importer: str
    imported: str

    def __str__(self) -> str:
        return f"{self.importer} → {self.imported}"


@cache
def modules() -> dict[str, Path]:
    """Every module of ours and its file; a package stands for its ``__init__``."""
    found = {}
    for house in HOUSES:
        for path in sorted((ROOT / house).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def edges() -> tuple[Arrow, ...]:
    """Every import of ours, also those inside functions and for types alone."""
    return tuple(sorted({Arrow(name, other) for name, path in modules().items()
                         for other in _imports(ast.parse(path.read_text(encoding="utf8"))) if other != name}))


def _imports(tree: ast.AST) -> Iterator[str]:
    known = modules()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in known:
                    yield whole
                elif node.module in known:
                    yield node.module


def circles() -> list[list[str]]:
    """Sets of modules that import each other, directly or by others (Tarjan, SIAM J. Comput. 1, 146)."""
    graph: dict[str, list[str]] = defaultdict(list)
    for arrow in edges():
        graph[arrow.importer].append(arrow.imported)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in graph[name]:
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            at = stack.index(name)
            if len(stack) - at > 1:
                found.append(sorted(stack[at:]))
            del stack[at:]

    sys.setrecursionlimit(10_000)
    for name in modules():
        if name not in index:
            visit(name)
    return found


def floor(package: str, child: str) -> int:
    """How high a part of a package stands."""
    lines = ORDER[package]
    for height, line in enumerate(lines):
        if child in line.split():
            return height
    return lines.index(".") if "." in lines else len(lines)


def upward() -> list[Arrow]:
    """Imports against the order of wings. Programs (``__main__``) stand above everything."""
    return [arrow for arrow in edges() if not arrow.importer.endswith("__main__") and not _is_down(arrow)]


def _is_down(arrow: Arrow) -> bool:
    package, mine, other = parting(arrow)
    if package not in ORDER or not mine or not other:
        return True  # a package joins its parts; files of one wing are free
    heights = floor(package, mine), floor(package, other)
    both_files = not any(_is_wing(package, child) for child in (mine, other))
    return heights[0] > heights[1] or (heights[0] == heights[1] and both_files)


def parting(arrow: Arrow) -> tuple[str, str, str]:
    """The last package that both lie in, and where each goes on."""
    mine, other = arrow.importer.split("."), arrow.imported.split(".")
    same = 0
    while same < min(len(mine), len(other)) and mine[same] == other[same]:
        same += 1
    return ".".join(mine[:same]), "".join(mine[same:same + 1]), "".join(other[same:same + 1])


def _is_wing(package: str, child: str) -> bool:
    path = modules().get(f"{package}.{child}".strip("."))
    return path is not None and path.name == "__init__.py"


def trespasses() -> list[Arrow]:
    """Imports of another wing's inside: of a module that is not in the ``__all__`` of the wing's door."""
    return [arrow for arrow in edges() for wing in _wings_of(arrow.imported)
            if not _is_at_home(arrow.importer, wing) and arrow.imported != wing
            and arrow.imported[len(wing) + 1:].partition(".")[0] not in door(wing)]


def wings() -> list[str]:
    """All wings: packages that stand in ORDER and are not themselves divided, or have a door nevertheless."""
    named = [f"{package}.{child}".strip(".") for package, lines in ORDER.items()
             for line in lines for child in line.split()]
    return [name for name in named if name in modules() and modules()[name].name == "__init__.py"
            and (name not in ORDER or name == "scanner.recos") and name != "config"]


def _wings_of(module: str) -> list[str]:
    return [wing for wing in wings() if module.startswith(f"{wing}.")]


def _is_at_home(importer: str, wing: str) -> bool:
    """Inside the wing, or a file that stands in the package above it."""
    above = ROOT / wing.rpartition(".")[0].replace(".", "/")
    return f"{importer}.".startswith(f"{wing}.") or modules()[importer].parent == above


@cache
def door(wing: str) -> frozenset[str]:
    """What a wing's ``__init__`` names in ``__all__``."""
    for node in ast.parse(modules()[wing].read_text(encoding="utf8")).body:
        target = node.targets[0] if isinstance(node, ast.Assign) else \
            node.target if isinstance(node, ast.AnnAssign) else None
        value = getattr(node, "value", None)
        if isinstance(target, ast.Name) and target.id == "__all__" and isinstance(value, ast.List):
            return frozenset(ast.literal_eval(value))
    return frozenset()


# ---- the picture

def draw() -> str:
    """The wings of every package, highest first, with what each is for and which wings it imports."""
    parts = []
    for package, lines in ORDER.items():
        if package in ("scanner.recos", ""):
            continue
        rows = [_row(package, child) for line in reversed(lines) for child in line.split()
                if child != "." and _is_wing(package, child)]
        own = [path.stem for path in (ROOT / package.replace(".", "/")).glob("*.py") if path.stem[0] != "_"]
        above = sorted(name for name in own if floor(package, name) == len(lines))
        head = [f"  {' '.join(above)}"] if above else []
        parts.append("\n".join([f"{package.replace('.', '/')}/", *head, *rows]))
    return "\n\n".join(parts)


def _row(package: str, child: str) -> str:
    name = f"{package}.{child}"
    needs = {parting(arrow)[2] for arrow in edges()
             if f"{arrow.importer}.".startswith(f"{name}.") and parting(arrow)[0] == package}
    order = " ".join(ORDER[package]).split()
    below = [other for other in reversed(order) if other in needs and _is_wing(package, other)]
    return f"  ▸ {child:<14}{'→ ' + ' '.join(below) if below else ''}".rstrip()


def page() -> str:
    """docs/architecture.md with the picture as it is now."""
    text = PAGE.read_text(encoding="utf8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n```\n{draw()}\n```\n\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Draw the picture, or check it; the exit status."""
    if arguments == ["--check"]:
        if page() == PAGE.read_text(encoding="utf8"):
            return 0
        print("the picture in docs/architecture.md is not true any more: run `make picture`")
        return 1
    PAGE.write_text(page(), encoding="utf8")
    print("drawn into docs/architecture.md")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
