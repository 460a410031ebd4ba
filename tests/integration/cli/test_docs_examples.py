"""The examples of the documentation, run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import Installed, installation, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"


def blocks(page: Path, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```", page.read_text(), re.M | re.S)


def environment(here: Installed) -> dict[str, str]:
    """The installation's, with `iceprod` and `python3` on the path as in the environment of `make venv`."""
    programs = here.root / "bin"
    programs.mkdir(exist_ok=True)
    for name, words in (("iceprod", "-m iceprod"), ("python3", "")):
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n')
        program.chmod(0o755)
    return {**here.environment, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


def shell(here: Installed, script: str) -> str:
    """Run a script; it ends at the first command that fails. What it printed."""
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=here.root, env=environment(here),
                          capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_tutorial(tmp_path: Path) -> None:
    here = Installed(tmp_path)
    try:
        said = shell(here, "\n".join(blocks(DOCS / "tutorial.md", "sh")))
    finally:
        wait_until(lambda: not here.kill(), 20)
    assert "best fit   RA" in said
    assert "truth      RA" in said
    assert re.search(r"multiorder\.(calibrated_\w+|ic160427a)\.fits", said)
    assert "dataset complete: 10 complete" in said
    assert "counting job" in said or "job 0, seed 10000" in said
    assert (tmp_path / "map" / "skymap.png").read_bytes().startswith(b"\x89PNG")
    assert not here.processes()


def console(page: Path, **words: str) -> str:
    """What a page's reader types, from first line to last, with their own names in place of CAPITALS."""
    kinds = re.findall(r"^```(sh|console)\n(.*?)^```", page.read_text(), re.M | re.S)
    lines = [line for kind, block in kinds for line in block.splitlines()
             if kind == "sh" or line.startswith("$ ")]
    script = "\n".join(line.removeprefix("$ ") for line in lines)
    for name, value in words.items():
        script = re.sub(rf"\b{name}\b", value, script)
    return script


def test_the_page_of_the_schedule(tmp_path: Path) -> None:
    with installation(tmp_path, pilots=0) as here:
        said = shell(here, console(DOCS / "schedule.md"))
    assert "samples_1.sigmf" in said
    assert "rescan_event:gold" in said
    assert (tmp_path / "samples_1.sigmf").stat().st_size > 1000


def test_the_page_of_the_shifter(tmp_path: Path) -> None:
    with installation(tmp_path, pilots=2) as here:
        here.iceprod("simulate", "--seed", "7", "--out", "event.json")
        small = ("--nsides", "8:0", "--reco-algo", "track_mpe")
        here.iceprod("scan", "event.json", *small, "--out", "first")
        script = console(DOCS / "shifter.md", SCAN_ID="1", SITE="local", ACTION="canary_scan",
                         NAME="nightly-canary").replace("EVENT.json", "event.json")
        more = "iceprod workers 1 local 20"
        assert more in script
        said = shell(here, script.replace(more, f"{{ {more} 2>&1 || true; }}"))
    assert "cannot add workers" in said, "the scan is final"
    assert "best fit   RA" in said
    assert "nightly-canary" in said


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    with installation(tmp_path_factory.mktemp("examples"), pilots=2) as here:
        here.iceprod("simulate", "--seed", "7", "--out", "event.json")
        [config] = re.findall(r"^(cat > config.yaml <<'END'\n.*?^END\n)", (DOCS / "tutorial.md").read_text(),
                              re.M | re.S)
        shell(here, config)
        yield here


@pytest.mark.parametrize("number", range(len(blocks(DOCS / "client.md", "python"))))
def test_the_examples_of_the_client(here: Installed, number: int) -> None:
    (here.root / "example.py").write_text(blocks(DOCS / "client.md", "python")[number])
    said = shell(here, "python3 -W error example.py")
    expected = [r"\d+/\d+ pixels, best fit RA", r"square degrees", r"complete: 20 complete",
                r"\[BestFit\(.*complete: 10 complete", r"404 "]
    assert re.search(expected[number], said), said


def test_the_example_of_the_readme(here: Installed) -> None:
    [example] = blocks(ROOT / "README.md", "python")
    (here.root / "example.py").write_text(example)
    assert re.search(r"^\d+\.\d+ [-\d]+\.\d+$", shell(here, "python3 example.py"), re.M)
