"""The configurations of the guides, and real ones: submitted, and run by pilots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.installation import Installed, installation

ROOT = Path(__file__).parents[3]
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.yaml"))
PLACE = "/tmp/iceprod-example"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    root = tmp_path_factory.mktemp("examples")
    root.chmod(0o755)  # under root, tasks run as another account
    for folder in ("place", "place/store", "out"):
        (root / folder).mkdir()
        (root / folder).chmod(0o777)
    (root / "place" / "gcd.txt").write_text("geometry\n")
    with installation(root, pilots=1, PILOTS__WRITABLE=[str(root)]) as here:
        yield here


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_of_the_guides(here: Installed, example: Path) -> None:
    config = here.root / example.name
    config.write_text(example.read_text().replace(PLACE, str(here.root / "place")))
    assert "complete" in here.iceprod("run", config)
    here.iceprod("submit", config, "--jobs", "2", "--dry-run")
    dataset = here.iceprod("submit", config, "--jobs", "2").strip()
    assert "dataset complete" in here.iceprod("wait", dataset)


def test_what_the_examples_left(here: Installed) -> None:
    assert (here.root / "place/store/out_000001.i3").read_text() == "geometry\n"


def test_every_example_is_shown_in_the_guides() -> None:
    guides = "\n".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    assert EXAMPLES
    for example in EXAMPLES:
        assert example.read_text() in guides, example.name


def test_a_script_with_a_list_of_files(here: Installed) -> None:
    lines = []
    for number in range(3):
        (here.root / f"in_{number}.txt").write_text(f"line {number}\n")
        lines.append(f"in_{number}.txt place/gcd.txt out/result_{number}.txt\n")
    (here.root / "list.txt").write_text("".join(lines))
    script = here.root / "join.sh"
    script.write_text('cat "$1" "$2" > "$3"\n')
    dataset = here.iceprod("submit", "--script", script, "--files", "list.txt").strip()
    assert "dataset complete: 3 complete" in here.iceprod("wait", dataset)
    assert (here.root / "out/result_2.txt").read_text() == "line 2\ngeometry\n"
    (here.root / "list.txt").write_text("a/x b/x c\n")
    said = here.iceprod("submit", "--script", script, "--files", "list.txt", status=2)
    assert "line 1: two files are called 'x'" in said


def test_what_cannot_be_made_ends_with_its_reason(here: Installed) -> None:
    """A dependence on a dataset that is not there is found when jobs are made."""
    (here.root / "late.yaml").write_text("""
version: 3.2
description: late
tasks:
  - {name: a, depends: ["99999:x"], trays: [{modules: [{src: /bin/true}]}]}
""")
    said = here.iceprod("submit", "late.yaml", status=2)
    assert "there is no task '99999:x' to depend on" in said
    with here.client() as client:
        document = {"version": 3.2, "description": "late", "tasks": [
            {"name": "a", "depends": ["99999:x"], "trays": [{"modules": [{"src": "/bin/true"}]}]}]}
        dataset = client.post("/datasets", {"description": "late", "group": "users", "jobs_submitted": 1,
                                            "tasks_submitted": 1, "tasks_per_job": 1})["result"]
        client.put(f"/config/{dataset}", document)
    assert "there is no task '99999:x' to depend on" in here.iceprod("wait", dataset, status=1)
    assert "jobs cannot be made" in here.iceprod("show", dataset)
    assert "99999:x" in here.iceprod("list")
