"""The house keeps its order: imports go one way and through doors, folders stay small, nothing is unsafe."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools import wings

ROOT = wings.ROOT
MOST_FILES = 25
SOURCES = sorted(wings.modules().values())
ids = [str(path.relative_to(ROOT)) for path in SOURCES]
PAGE = "docs/architecture.md has the wings and their order."


def told(found: list[str], way_out: str) -> str:
    return "\n".join(["", *found, *textwrap.wrap(way_out, 100), PAGE])


def test_there_are_no_circles() -> None:
    found = [" ↔ ".join(circle) for circle in wings.circles()]
    assert not found, told(found, """These import each other. Move what both need into a module below
        both, or pass it as an argument; an import inside a function or for types alone counts, too.""")


def test_imports_follow_the_order_of_wings() -> None:
    found = list(map(str, wings.upward()))
    assert not found, told(found, """These imports go up, or sideways. Move what is needed into a lower
        wing, or let the higher wing register a function with the lower one (as `register_kind` does). A new
        wing needs a place in ORDER of tools/wings.py.""")


def test_wings_are_entered_by_their_doors() -> None:
    found = list(map(str, wings.trespasses()))
    assert not found, told(found, """These import another wing's inside. Use what its door offers, or,
        if others should use it, name the module in `__all__` of the wing's `__init__.py`.""")


@pytest.mark.parametrize("wing", wings.wings())
def test_every_wing_says_what_it_is_for_and_offers_what_there_is(wing: str) -> None:
    tree = ast.parse(wings.modules()[wing].read_text(encoding="utf8"))
    assert ast.get_docstring(tree), told([wing], """Its `__init__.py` says in three lines what it is,
        what enters and what leaves.""")
    missing = {name for name in wings.door(wing)
               if name.islower() and f"{wing}.{name}" not in wings.modules()}
    offered = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    lost = sorted(missing - offered)
    assert not lost, told(lost, f"No such module in {wing}: correct its `__all__`.")


def test_every_divided_package_has_an_order() -> None:
    divided = {name.rpartition(".")[0] for name, path in wings.modules().items()
               if path.name == "__init__.py"}
    found = sorted(divided - set(wings.ORDER))
    assert not found, told(found, "These have folders: give them a line in ORDER of tools/wings.py.")


def test_folders_are_small() -> None:
    files = [*SOURCES, *(ROOT / "tests").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]
    found = [f"{folder.relative_to(ROOT)}: {count} files"
             for folder, count in Counter(path.parent for path in files).items() if count > MOST_FILES]
    assert not found, told(found, f"""A folder holds at most {MOST_FILES} files: divide it by the nouns that
        people look for.""")


def test_the_picture_is_true() -> None:
    assert wings.page() == wings.PAGE.read_text(encoding="utf8"), "run `make picture`, commit what it draws"


def test_what_must_not_be_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The rules above find what they look for."""
    bad = [wings.Arrow("scanner.events.frame", "scanner.recos.recos"),  # up
           wings.Arrow("scanner.maps.plots", "scanner.events.event"),  # sideways
           wings.Arrow("server.web.scans.scan_pages", "server.scans.run.narrowing"),  # not by the door
           wings.Arrow("grid.base", "grid.local"), wings.Arrow("grid.local", "grid.base")]  # a circle
    monkeypatch.setattr(wings, "edges", lambda: tuple(bad))
    assert wings.upward() == [bad[0], bad[1], bad[3]]
    assert wings.trespasses() == [bad[2]]
    assert wings.circles() == [["grid.base", "grid.local"]]


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_no_pickle_and_no_eval(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not {"pickle", "marshal", "shelve", "dill"} & {name.partition(".")[0] for name in imports(tree)}
    called = {node.func.id for node in ast.walk(tree)
              if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert not called & {"eval", "exec"}


def test_the_server_does_without_healpy() -> None:
    """healpy is GPL-2.0-only: only tests use it, to compare with."""
    loaded = "import sys, server.app; sys.exit('healpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loaded], cwd=ROOT, check=False).returncode == 0
