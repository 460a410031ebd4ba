"""Commands on a real terminal: texts of others do not steer it, tables fit, colours where they are wanted."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from tests.support.installation import Installed, installation, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

EVIL = "\x1b]0;owned\x07\x1b[2J[red]\x9b31m"
CONFIG = {"version": 3.2, "description": f"evil {EVIL}", "tasks": [
    {"name": "work", "requirements": {"cpu": 1, "memory": 1.0}, "trays": [{"modules": [
        {"src": "/usr/bin/printf", "args": ["\\033]0;owned\\007 \\033[2J said\\n"]}]}]}]}
LONG = {"version": 3.2, "description": "long", "tasks": [
    {"name": "sleep", "requirements": {"cpu": 1, "memory": 1.0}, "trays": [{"modules": [
        {"src": "/bin/sleep", "args": "600"}]}]}]}
COLOUR = re.compile(rb"\x1b\[[0-9;]*m")


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    with installation(tmp_path_factory.mktemp("terminal"), pilots=1) as here:
        for name, config in (("evil", CONFIG), ("long", LONG)):
            (here.root / f"{name}.json").write_text(json.dumps(config))
        here.iceprod("submit", "evil.json")
        here.iceprod("wait", "1")
        yield here


def on_terminal(here: Installed, *words: str, columns: int = 80, **environment: str) -> bytes:
    """What a command writes to a terminal of its own."""
    master, slave = pty.openpty()
    process = subprocess.Popen([sys.executable, "-m", "iceprod", *words], cwd=here.root, stdin=slave,
                               stdout=slave, stderr=slave, env={**here.environment, "TERM": "xterm-256color",
                                                                "COLUMNS": str(columns), **environment})
    os.close(slave)
    out = bytearray()
    with open(master, "rb", buffering=0) as terminal:
        while True:
            try:
                if not (data := terminal.read(4096)):
                    break
            except OSError:  # the other end is closed
                break
            out += data
    assert process.wait() == 0, out
    return bytes(out)


@pytest.mark.parametrize("words", ["list", "show 1", "tasks 1", "logs 1.0.0", "why 1.0.0", "wait 1", "sites",
                                   "pilots", "scans", "schedule list --all", "schedule actions", "grid list"])
def test_texts_of_others_do_not_steer_it(here: Installed, words: str) -> None:
    said = on_terminal(here, *words.split(), columns=60)
    assert not {b"\x1b]", b"\x1b[2J", b"\x07", b"\xc2\x9b"} & {part for part in (
        b"\x1b]", b"\x1b[2J", b"\x07", b"\xc2\x9b") if part in said}, said
    if words.startswith(("logs", "show")):
        assert "␛".encode() in said


@pytest.mark.parametrize("words", ["list", "tasks 1", "sites", "pilots", "schedule list --all", "grid list"])
def test_tables_fit_and_are_coloured_on_a_terminal_alone(here: Installed, words: str) -> None:
    said = on_terminal(here, *words.split(), columns=120)
    assert COLOUR.search(said)
    lines = COLOUR.sub(b"", said).decode().splitlines()
    assert max(map(len, lines[:2])) <= 120
    for how in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert b"\x1b" not in on_terminal(here, *words.split(), **how)
    assert "\x1b" not in here.iceprod(*words.split())


def offered(here: Installed, words: str) -> set[str]:
    """What bash is offered for the last word of a line."""
    environment = {**here.environment, "COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")),
                   "_ICEPROD_COMPLETE": "bash_complete"}
    done = subprocess.run([sys.executable, "-m", "iceprod"], env=environment, cwd=here.root,
                          capture_output=True, text=True, timeout=120, check=True)
    return {line.partition(",")[2] for line in done.stdout.splitlines()}


@pytest.mark.parametrize(("words", "expected"), [
    ("iceprod show 1", {"1"}), ("iceprod why 1.", {"1.0.0"}), ("iceprod logs 1", {"1."}),
    ("iceprod logs 1.0.0 --name st", {"stdout", "stderr", "stdlog"}),
    ("iceprod list --status co", {"complete"}),
    ("iceprod tasks 1 --status fa", {"failed"}), ("iceprod scan x --reco-algo track_m", {"track_mpe"}),
    ("iceprod scan x --cluster lo", {"local:"}), ("iceprod pilots --site l", {"local"}),
    ("iceprod schedule create x mock", {"mock_acquire"}), ("iceprod bench co", {"coverage", "compare"}),
    ("iceprod bench all --quick sta", {"start"}),
    ("iceprod schedule show housekeeping-repair", {"housekeeping-repair-tasks"}),
    ("iceprod token --roles admin,pi", {"admin,pilot"}), ("iceprod skymap x --format ge", {"geojson"})])
def test_what_the_shell_offers(here: Installed, words: str, expected: set[str]) -> None:
    wait_until(lambda: offered(here, words) == expected)  # a server that is slow is not waited for


def test_an_id_is_offered_to_who_begins_one(here: Installed) -> None:
    with here.client() as client:
        dataset_id = next(iter(client.get("/datasets", {"keys": "dataset_id"})))
    begun = dataset_id[:next(n for n, sign in enumerate(dataset_id, 1) if not sign.isdecimal())]
    wait_until(lambda: dataset_id in offered(here, f"iceprod show {begun}"))


def test_a_server_that_is_away_is_told_of(here: Installed) -> None:
    dataset = here.iceprod("submit", "long.json").strip()
    waiting = here.start("wait", dataset)
    told: list[str] = []
    reader = threading.Thread(target=lambda: told.extend(iter(waiting.stderr.readline, "")))  # type: ignore[union-attr]
    reader.start()
    try:
        wait_until(lambda: waiting.stdout.readline())  # type: ignore[union-attr]
        here.kill("iceprod.supervisor", number=signal.SIGSTOP)  # so that nobody starts the server again
        here.kill("-m server --")
        wait_until(lambda: any("the server does not answer" in line for line in told))
    finally:
        here.kill("iceprod.supervisor", number=signal.SIGCONT)
    wait_until(lambda: any(re.search(r"after \d+ s without the server", line) for line in told))
    here.iceprod("suspend", dataset)
    reader.join()
    waiting.communicate()
    assert waiting.returncode == 1
    assert len(told) == 2, "once when it goes, once when it is back"
