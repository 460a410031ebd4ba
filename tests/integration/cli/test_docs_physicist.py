"""The pages for physicists and of questions, walked: every line is typed, every route is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.integration.cli.walking import DOCS, Instead, blocks, console, inline, shell, walked
from tests.support.installation import Installed, installation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PAGE, QUESTIONS = DOCS / "physicist.md", DOCS / "questions.md"
INSTEAD = {
    "iceprod credentials add https://s3.example.org": Instead(
        "python3 BIN/terminal.py a-key,a-secret iceprod credentials add https://s3.example.org --bucket sim",
        "it asks for the secrets on a terminal, which is made and answered"),
    "iceprod abort SCAN_ID": Instead(
        "{ iceprod abort SCAN_ID 2>&1 || true; }", "the scan is final already, and the line says so"),
}
REASONS = {
    "iceprod reset": "it names no dataset; the page for physicists has the whole line",
    "iceprod completion": "the shell's name is left out; all shells are tested",
}


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    root = tmp_path_factory.mktemp("physicist")
    root.chmod(0o755)
    (root / "out").mkdir()
    (root / "out").chmod(0o777)
    with installation(root, pilots=2, PILOTS__WRITABLE=[str(root)], SERVICES__REPAIR_SECONDS=1) as here:
        here.iceprod("simulate", "--seed", "7", "--out", "event.json")
        (root / "config.yaml").write_text(blocks(PAGE, "yaml")[0])
        (root / "run.sh").write_text('echo "$@"; shift; cp "$1" "$2"\n')
        for name in ("in_0.txt", "in_1.txt", "token.txt"):
            (root / name).write_text("text\n")
        (root / "list.txt").write_text("in_0.txt out/0.txt\nin_1.txt out/1.txt\n")
        yield here


def test_the_page_for_physicists(here: Installed) -> None:
    script = walked(console(PAGE), INSTEAD, DATASET="2", TASK="2.0.0", SCAN_ID="1",
                    BIN=str(here.root / "bin"), **{"EVENT.json": "event.json"})
    said = shell(here, script)
    assert "1000 jobs of 1 tasks" in said
    assert "seed 999" in said, "the rehearsal"
    assert "dataset complete: 2 complete" in said
    assert (here.root / "out" / "1.txt").read_text() == "text\n"
    assert "delete_completed_scan" not in said
    assert "the scan has its final result already" in said
    assert "https://s3.example.org" in said


def test_the_configurations_of_the_page(here: Installed) -> None:
    for number, config in enumerate(blocks(PAGE, "yaml")):
        (here.root / f"block_{number}.yaml").write_text(config)
        said = here.iceprod("submit", f"block_{number}.yaml", "--jobs", "2", "--dry-run", "--lenient")
        assert "is good" in said


def test_the_commands_of_the_questions(here: Installed) -> None:
    commands = inline(QUESTIONS, "iceprod")
    assert {*REASONS} <= {*commands}
    said = shell(here, walked([one for one in commands if one not in REASONS], DATASET="2", TASK="2.0.0"))
    assert "such tasks used" in said


def test_the_routes_of_the_questions(here: Installed) -> None:
    asked = set()
    with here.client() as client:
        dataset_id = next(iter(client.get("/datasets", {"dataset": "2"})))
        body = {"dataset_id": dataset_id, "action": "reset"}
        request = client.post("/actions/dataset_status", body)["result"]
        ids = {"dataset_id": dataset_id, "action": "dataset_status", "request_id": request}
        for one in inline(QUESTIONS, "GET"):
            path = re.sub(r"{(\w+)}", lambda found: ids[found[1]], one.removeprefix("GET "))
            query = {"text": "seed"} if path.endswith("log_search") else None
            assert client.get(path, query) is not None
            asked.add(one)
    assert "GET /failure_policy" in asked
