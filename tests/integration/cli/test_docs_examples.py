"""The examples of the documentation, run as they stand."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.walking import DOCS, ROOT, Instead, blocks, console, shell, walked
from tests.support.installation import Installed, installation, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


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


def test_the_page_of_the_schedule(tmp_path: Path) -> None:
    with installation(tmp_path, pilots=0) as here:
        said = shell(here, walked(console(DOCS / "schedule.md")))
    assert "samples_1.sigmf" in said
    assert "rescan_event:gold" in said
    assert (tmp_path / "samples_1.sigmf").stat().st_size > 1000


SHORT = """version: 3.2
description: a short one
tasks:
  - name: work
    requirements: {cpu: 1, memory: 1, time: 0.1}
    trays:
      - modules:
          - {src: /bin/echo, args: "here it is"}
"""


def test_the_page_of_the_shifter(tmp_path: Path) -> None:
    with installation(tmp_path, pilots=2) as here:
        here.iceprod("simulate", "--seed", "7", "--out", "event.json")
        small = ("--nsides", "8:0", "--reco-algo", "track_mpe")
        here.iceprod("scan", "event.json", *small, "--out", "first")
        (here.root / "config.yaml").write_text(SHORT)
        dataset = here.iceprod("submit", "config.yaml").strip()
        [task] = json.loads(here.iceprod("tasks", dataset, "--json"))["tasks"]
        said = shell(here, walked(console(DOCS / "shifter.md"), {
            "iceprod workers SCAN_ID SITE 20": Instead(
                "{ iceprod workers SCAN_ID SITE 20 2>&1 || true; }", "the scan is final already")},
            SCAN_ID="1", TASK=task["task_id"], SITE="local", ACTION="canary_scan", NAME="nightly-canary",
            **{"EVENT.json": "event.json"}))
    assert "cannot add workers" in said, "the scan is final"
    assert "best fit   RA" in said
    assert "nightly-canary" in said
    assert "here it is" in said, "its log was read along"


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
