"""The whole kind: whatever a command of ours writes goes through the guard, and whoever waits is told why."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCES = sorted([*(ROOT / "iceprod" / "cli").glob("**/*.py"), *(ROOT / name for name in (
    "grid/cli.py", "grid/condor/cli.py", "scanner/cli.py", "server/cli.py"))])
BARE = {"screen.py": "the guard itself", "tables.py": "its cells are made safe one by one",
        "demo.py": "hands the stream to a command, which guards what it writes"}
CLIENTS = {"connection.py": "makes the client that talks", "completing.py": "a shell waits, nothing is said",
           "submit.py": "a dry run, which goes on without a server"}


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_goes_around_the_guard(path: Path) -> None:
    for name, call in calls(path):
        if path.name not in BARE:
            around = ("bare", "Console", "sys.stdout.buffer.write", "os.write")
            assert name not in around, f"{path}:{call.lineno}"
        if name.startswith("console.") and name.endswith("print"):
            said = {word.arg for word in call.keywords}
            assert "markup" in said, f"{path}:{call.lineno}: [brackets] of others are no markup"
        if name == "TextColumn":
            assert "markup" in {word.arg for word in call.keywords}, f"{path}:{call.lineno}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_who_waits_for_a_server_is_told(path: Path) -> None:
    made = {name for name, _ in calls(path)} & {"Client", "find_client"}
    assert not made or path.name in CLIENTS or path.parent.name == "condor", "connect() tells why it waits"
