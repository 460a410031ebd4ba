"""Walking a page of the documentation: what its reader types, run from the first line to the last.

Names in CAPITALS are the reader's own. A line that cannot be run as it stands is named with what is run
instead, and why; such a line has to be on the page.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.installation import Installed

__all__ = ["DOCS", "ROOT", "Instead", "blocks", "console", "inline", "shell", "walked"]

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
_TERMINAL = """import os, pty, sys
def read(fd):
    data = os.read(fd, 1024)
    if b":" in data and answers: os.write(fd, answers.pop(0).encode() + b"\\n")
    return data
answers = sys.argv[1].split(",")
sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[2:], read)))
"""
"""Runs a command on a terminal of its own, and answers what it asks."""


@dataclass(frozen=True)
class Instead:
    """What is run in place of a line, and why."""

    command: str
    why: str


@dataclass
class _Walk:
    text: str
    instead: Mapping[str, Instead]
    words: Mapping[str, str]
    seen: set[str] = field(default_factory=set)

    def line(self, line: str) -> str:
        found = next((one for one in self.instead if line.startswith(one)), None)
        if found is not None:
            self.seen.add(found)
            line = self.instead[found].command
        for name, value in self.words.items():
            line = re.sub(rf"(?<![\w.]){re.escape(name)}(?!\w)", lambda _, value=value: str(value), line)
        return line


def blocks(page: Path, kind: str) -> list[str]:
    """The code blocks of a kind."""
    return re.findall(rf"^```{kind}\n(.*?)^```", page.read_text(), re.M | re.S)


def console(page: Path) -> list[str]:
    """What a page's reader types, from first line to last."""
    kinds = re.findall(r"^```(sh|console)\n(.*?)^```", page.read_text(), re.M | re.S)
    return [line.removeprefix("$ ") for kind, block in kinds for line in block.splitlines()
            if kind == "sh" or line.startswith("$ ")]


def inline(page: Path, first: str) -> list[str]:
    """What stands in sentences as code and begins so, such as ``iceprod`` or ``GET``, once each."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S)
    return list(dict.fromkeys(" ".join(one.split()) for one in re.findall(rf"`({first} [^`]+)`", text)))


def walked(lines: list[str], instead: Mapping[str, Instead] | None = None, **words: str) -> str:
    """A script of the lines; every line that is run otherwise has to be among them."""
    walk = _Walk("\n".join(lines), instead or {}, words)
    script = "\n".join(map(walk.line, lines))
    assert walk.seen == {*walk.instead}, f"not on the page: {({*walk.instead} - walk.seen)}"
    assert all(one.why for one in walk.instead.values())
    return script


def environment(here: Installed) -> dict[str, str]:
    """The installation's, with `iceprod` and `python3` on the path as in the environment of `make venv`."""
    programs = here.root / "bin"
    programs.mkdir(exist_ok=True)
    for name, words in (("iceprod", "-m iceprod"), ("python3", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        program.chmod(0o755)
    (programs / "terminal.py").write_text(_TERMINAL)
    return {**here.environment, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def shell(here: Installed, script: str) -> str:
    """Run a script; it ends at the first command that fails. What it printed."""
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", f"set -x\n{script}"], cwd=here.root,
                          env=environment(here), capture_output=True, text=True, timeout=800, check=False)
    assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-6000:]}"
    return done.stdout
