"""The pilot runs from one file, with the standard library of an old Python alone."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from grid.bundle import MODULES, build


def sources() -> Iterator[tuple[str, str]]:
    for package, names in MODULES.items():
        for item in resources.files(package).iterdir():
            if item.name.endswith(".py") and (names is None or item.name in names):
                yield f"{package}/{item.name}", item.read_text(encoding="utf8")


@pytest.mark.parametrize(("name", "text"), list(sources()), ids=lambda value: value if "/" in value else "")
def test_it_is_old_python_and_needs_nothing(name: str, text: str) -> None:
    for node in ast.walk(ast.parse(text, name, feature_version=(3, 9))):
        if isinstance(node, ast.ImportFrom):
            _check(node.module or "")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                _check(alias.name)


def _check(module: str) -> None:
    ours = module.startswith(("grid.pilot", "iceprod.client", "iceprod.launch"))
    assert ours or module.partition(".")[0] in sys.stdlib_module_names


def test_the_file_runs_a_task(server: Any, tmp_path: Path) -> None:
    program = build(tmp_path / "pilot.pyz")
    (tmp_path / "token").write_text("secret")
    modules = [{"src": "/bin/sh", "args": ["-c", "echo from afar"]}]
    task_id = server.add({"task": {"trays": [{"modules": modules}]}})
    argv = [sys.executable, "-I", "-S", str(program), "--server", server.url, "--no-pixels", "--cores", "1",
            "--token-file", str(tmp_path / "token"), "--directory", str(tmp_path), "--idle", "0.5"]
    child = subprocess.run(argv, cwd="/", timeout=60, check=False)
    assert child.returncode == 0
    assert server.bodies(f"/tasks/{task_id}/task_actions/complete")
    assert server.bodies("/logs")[0]["data"] == "from afar\n"


def test_the_same_sources_make_the_same_file(tmp_path: Path) -> None:
    assert build(tmp_path / "a").read_bytes() == build(tmp_path / "b").read_bytes()
