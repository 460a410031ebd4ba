"""The pilot runs from one file, with the standard library of an old Python alone."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import zipfile
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


@pytest.mark.parametrize("name", [name for name, _ in sources()])
def test_it_is_old_python_and_needs_nothing(name: str) -> None:
    tree = ast.parse(dict(sources())[name], name, feature_version=(3, 9))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in MODULES:
            for alias in node.names:
                _check(f"{node.module}.{alias.name}")
        elif isinstance(node, ast.ImportFrom):
            _check(node.module or "")
        elif isinstance(node, ast.Import):
            for alias in node.names:
                _check(alias.name)


def _check(module: str) -> None:
    package, _, name = module.rpartition(".")
    ours = module in MODULES or f"{package}/{name}.py" in dict(sources())
    assert ours or module.partition(".")[0] in sys.stdlib_module_names


def bare_interpreters() -> list[str]:
    """Pythons of this machine that are not ours: by ``ICEPROD_BARE_PYTHON``, in PATH, or of pyenv."""
    if named := os.environ.get("ICEPROD_BARE_PYTHON"):
        return [named]
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for name in ("3.9", "3.10"):
        kept = [str(path) for path in sorted(versions.glob(f"{name}.*/bin/python3"))]
        found = shutil.which(f"python{name}")
        for candidate in [*kept, *([found] if found else [])]:
            if subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
                return [candidate]
    return []


@pytest.mark.parametrize("old", [False, True], ids=["our Python", "a bare old Python"])
def test_the_file_runs_a_task(server: Any, tmp_path: Path, old: bool) -> None:
    python = [*bare_interpreters(), None][0] if old else sys.executable
    if python is None:
        pytest.skip("no Python 3.9 or 3.10 here; name one in ICEPROD_BARE_PYTHON")
    program = build(tmp_path / "pilot.pyz")
    (tmp_path / "token").write_text("secret")
    modules = [{"src": "job.py", "args": ["from afar"]}]
    (tmp_path / "job.py").write_text("import sys\nprint(*sys.argv[1:])\n")
    data = [{"movement": "input", "remote": f"file://{tmp_path}/job.py"},
            {"movement": "output", "local": "stdout", "remote": f"file://{tmp_path}/result"}]
    task_id = server.add({"task": {"trays": [{"modules": modules}], "data": data}})
    argv = [python, "-I", "-S", str(program), "--server", server.url, "--no-pixels", "--cores", "1",
            "--token-file", str(tmp_path / "token"), "--directory", str(tmp_path), "--idle", "0.5",
            "--isolation", "off"]
    child = subprocess.run(argv, cwd="/", timeout=120, check=False, capture_output=True, text=True)
    assert child.returncode == 0, child.stderr
    assert server.bodies(f"/tasks/{task_id}/task_actions/complete"), child.stderr
    assert server.bodies("/logs")[0]["data"] == "from afar\n"
    assert (tmp_path / "result").read_text() == "from afar\n"


def test_it_says_that_it_records_no_traces(tmp_path: Path) -> None:
    """What would bring OpenTelemetry to an installation does not bring it into the file."""
    program = build(tmp_path / "pilot.pyz")
    argv = [sys.executable, "-I", str(program), "--server", "http://127.0.0.1:9", "--token-file", os.devnull,
            "--no-pixels", "--traces", "--isolation", "off"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "the pilot of one file records no traces: start it without --traces" in done.stderr


def test_the_same_sources_make_the_same_file(tmp_path: Path) -> None:
    assert build(tmp_path / "a").read_bytes() == build(tmp_path / "b").read_bytes()


def test_too_old_a_python_says_so(tmp_path: Path) -> None:
    """The first lines of the file are what even Python 2 reads."""
    with zipfile.ZipFile(build(tmp_path / "pilot.pyz")) as archive:
        lines = archive.read("__main__.py").decode().replace("(3, 9)", "(9, 9)")
    done = subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=False)
    assert done.returncode == 78
    assert done.stderr.startswith("a pilot needs Python 3.9 or newer, and ")
