"""The pages people write tell the truth: what they name is there, and every page can be reached."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from iceprod.cli.benching.plan import BENCHES
from iceprod.cli.common.passing import Passing
from server.app import ROUTES
from server.reference import PAGES, commands, settings
from tests.browser.screenshots import DOCS as PICTURES
from tests.browser.screenshots import FOR_DOCS

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
WRITTEN = sorted([ROOT / "README.md", *DOCS.glob("*.md"), *DOCS.glob("decisions/*.md")])
COMMANDS = dict(commands.commands())
NAMES = [str(path.relative_to(ROOT)) for path in WRITTEN]


def fences(text: str, *kinds: str) -> list[str]:
    """The insides of code blocks of some kinds."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", text, re.M | re.S)
    return [inside for kind, inside in blocks if kind in kinds]


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)


def typed(text: str) -> Iterator[list[str]]:
    """Every `iceprod …` in a page's examples and sentences, as words."""
    lines = [line for block in fences(text, "sh", "console", "") for line in block.splitlines()]
    lines += re.findall(r"`(iceprod [^`\n]*)`", without_code(text))
    for line in lines:
        for part in re.findall(r"(?:^\s*|\$ |\(|bin/|sudo |exec |&& )iceprod ((?!-)[^|)>;&#]*)", line):
            try:
                yield shlex.split(part.replace("…", " ").replace("[", " ").replace("]", " "))
            except ValueError:  # a quotation that goes on in the next line
                yield part.split()


def command_of(words: list[str]) -> tuple[str, list[str]]:
    """The command that words name, and what follows it."""
    for length in (2, 1):
        name = " ".join(["iceprod", *words[:length]])
        if name in COMMANDS and len(words) >= length:
            return name, words[length:]
    return "", words


def options_of(command: click.Command) -> set[str]:
    found = {"--help"}
    for one in command.params:
        found |= {*one.opts, *one.secondary_opts}
    return found


@pytest.mark.parametrize("name", NAMES)
def test_commands_and_options_exist(name: str) -> None:
    for words in typed((ROOT / name).read_text()):
        if not words or not re.fullmatch(r"[a-z-]+", words[0]):
            continue
        command, rest = command_of(words)
        assert command, f"{name}: there is no command iceprod {' '.join(words)}"
        given = {word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)}
        if isinstance(COMMANDS[command], Passing):
            manual = COMMANDS[command].manual()  # type: ignore[attr-defined]
            assert all(option in manual for option in given), f"{name}: {words}"
        elif command == "iceprod bench":
            assert set(rest[:1]) <= {*BENCHES, "NAME"}, f"{name}: {words}"
        else:
            assert given <= options_of(COMMANDS[command]), f"{name}: {words}"


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        path, _, _ = target.partition("#")
        if "://" in target or not path:
            continue
        found = (page.parent / path).resolve()
        is_generated = found.parent == DOCS / "reference" and found.stem in PAGES
        assert is_generated or found.exists(), f"{name}: {target}"


def test_pictures_are_small_told_in_words_and_made_by_the_command() -> None:
    shown = {}
    for page in WRITTEN:
        for words, target in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", page.read_text()):
            path = (page.parent / target).resolve()
            assert len(words) > 20, f"{page}: {target} says nothing to those who do not see it"
            assert path.parent == PICTURES
            shown[path.name] = path
    assert {path.stem for path in shown.values()} == {*FOR_DOCS}
    assert {path.name for path in PICTURES.iterdir()} == {*shown}
    assert sum(path.stat().st_size for path in shown.values()) < 1_000_000


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_are_named_exist(name: str) -> None:
    known = {one.path for one in settings.settings()}
    sections = {path.partition(".")[0] for path in known if "." in path}
    for named in re.findall(r"`([a-z_]+\.[a-z_.]+)(?:: [^`]*)?`", without_code((ROOT / name).read_text())):
        if named.partition(".")[0] in sections and not named.endswith((".md", ".py", ".yaml", ".json", ".")):
            if name == "docs/admin.md":  # it speaks of the settings of a site
                continue
            assert named in known or any(path.startswith(f"{named}.") for path in known), f"{name}: {named}"


@pytest.mark.parametrize("name", NAMES)
def test_routes_that_are_named_exist(name: str) -> None:
    text = (ROOT / name).read_text()
    for method, path in re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[^`\s?]*)", text):
        assert any(_serves(path, route.openapi_path) and method.lower() in route.methods()
                   for route in ROUTES), f"{name}: {method} {path}"


def _serves(path: str, pattern: str) -> bool:
    parts, wanted = path.strip("/").split("/"), pattern.strip("/").split("/")
    return len(parts) == len(wanted) and all(
        one == other or (one[:1] in "{<" and other.startswith("{"))
        for one, other in zip(parts, wanted, strict=True))


def test_every_page_is_reached_from_the_index() -> None:
    seen, todo = set[Path](), [DOCS / "index.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md" or not page.is_file():
            continue
        seen.add(page)
        todo += [(page.parent / target.partition("#")[0]).resolve()
                 for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()) if "://" not in target]
    assert {path for path in WRITTEN if path.parent != ROOT} <= seen


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="needs systemd-analyze")
@pytest.mark.parametrize("unit", sorted(path.name for path in (DOCS / "systemd").iterdir()))
def test_units_are_understood_by_systemd(unit: str, tmp_path: Path) -> None:
    """Paths that only an installation has are put out of the way first."""
    for path in (DOCS / "systemd").iterdir():
        text = path.read_text().replace("/opt/iceprod/bin/iceprod", "/bin/true")
        (tmp_path / path.name).write_text(text.replace("User=iceprod", "User=root"))
    target = unit.replace("@.", "@mysite.")
    if target != unit:
        (tmp_path / unit).rename(tmp_path / target)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(tmp_path / target)],
                          capture_output=True, text=True, timeout=60)
    ours = [line for line in done.stderr.splitlines() if unit.partition("@")[0].partition(".")[0] in line]
    assert ours == [], done.stderr
