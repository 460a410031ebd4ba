"""The Containerfile keeps to good practice, and names what is there."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest

from config.settings import load
from server.reference.commands import commands

ROOT = Path(__file__).parents[3]
FILE = ROOT / "Containerfile"
COMMANDS = dict(commands())
TARGETS = ("server", "pilot")


def stages() -> dict[str, list[tuple[str, str]]]:
    """Instructions and what follows them, by stage; what a stage is made from comes first."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", FILE.read_text(), flags=re.M))
    found: dict[str, list[tuple[str, str]]] = {"": []}
    for word, rest in (line.split(maxsplit=1) for line in text.splitlines() if line):
        if word == "FROM":
            source, _, name = rest.partition(" AS ")
            current = found[name] = [*found.get(source, [("FROM", source)])]
        else:
            (current if len(found) > 1 else found[""]).append((word, rest))
    return found


STAGES = stages()


def last(target: str, word: str) -> str:
    return next((rest for known, rest in reversed(STAGES[target]) if known == word), "")


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sysconfig.get_path("scripts")) / "hadolint"
    done = subprocess.run([hadolint, "--format", "json", FILE], check=False, capture_output=True, text=True,
                          timeout=60)
    assert json.loads(done.stdout) == []


def test_the_last_stage_is_the_server() -> None:
    assert list(STAGES)[-1] == "server"


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_runs_as_a_user_without_rights(target: str) -> None:
    """By number: a cluster that refuses root cannot look a name up."""
    assert int(last(target, "USER")) >= 1000


@pytest.mark.parametrize("target", TARGETS)
def test_an_image_starts_a_command_that_is_there(target: str) -> None:
    program, *words = json.loads(last(target, "ENTRYPOINT"))
    command = COMMANDS[f"{program} {words[0]}"]
    options = {word for word in words[1:] if word.startswith("--")}
    manual = command.get_help(command.make_context(words[0], [], resilient_parsing=True)) \
        if not hasattr(command, "manual") else command.manual()
    assert options
    assert all(option in manual for option in options)


def test_the_server_says_how_it_is_and_keeps_its_data() -> None:
    port = last("server", "EXPOSE")
    assert f"127.0.0.1:{port}/healthz" in last("server", "HEALTHCHECK")
    words = json.loads(last("server", "ENTRYPOINT"))
    assert words[words.index("--port") + 1] == port
    assert words[words.index("--data") + 1] == last("server", "VOLUME")


@pytest.mark.parametrize("target", TARGETS)
def test_settings_of_an_image_are_settings(target: str) -> None:
    pairs = [pair for word, rest in STAGES[target] if word == "ENV" for pair in rest.split()]
    assert load(environment=dict(pair.split("=", 1) for pair in pairs)).server.port == 8080


def test_what_images_are_made_of_is_pinned() -> None:
    """The base by its version, everything else by the constraints."""
    base = next(rest for word, rest in STAGES[""] if word == "ARG").partition("=")[2]
    assert re.search(r":\d+\.\d+", base)
    runs = [part for stage in STAGES.values() for word, rest in stage if word == "RUN"
            for part in rest.split("&&") if "pip install" in part]
    assert runs
    assert all("--constraint /source/constraints.txt" in part for part in runs)


def test_what_is_copied_was_made_before() -> None:
    names = list(STAGES)
    for number, name in enumerate(names):
        for word, rest in STAGES[name]:
            if word == "COPY" and (found := re.match(r"--from=(\S+) (\S+) ", rest)):
                assert found[1] in names[:number]
                assert any(found[2] in made for known, made in STAGES[found[1]] if known == "RUN")


def test_secrets_of_a_checkout_stay_out_of_images() -> None:
    ignored = (ROOT / ".containerignore").read_text().split()
    assert {".git", "packaging/compose/secret", "packaging/compose/pilot-token"} <= set(ignored)
    assert os.path.exists(ROOT / "packaging" / "compose")
