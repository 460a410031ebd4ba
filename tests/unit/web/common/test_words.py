"""Headings and buttons are the glossary's: what it calls wrong stands on no page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[4]
TEMPLATES = sorted((ROOT / "server" / "web" / "templates").glob("*.html"))
SHOWN = re.compile(r"<(h1|h2|h3|button|th|dt|label|legend|summary)\b[^>]*>(.*?)</\1>", re.DOTALL)


def refused() -> set[str]:
    """The last column of the glossary's table of what stands on pages."""
    section = (ROOT / "docs" / "glossary.md").read_text().split("## On the pages")[1].split("\n## ")[0]
    cells = [line.rstrip("| ").rpartition("|")[2] for line in section.splitlines() if line.startswith("| **")]
    words = {word.strip().lstrip("… ") for cell in cells for word in cell.split(", ")}
    return words - {"—", ""}


def test_the_glossary_refuses_something() -> None:
    assert {"What goes on", "that run", "Start over", "Change it"} <= refused()


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.stem)
def test_no_refused_words_in_headings_and_buttons(template: Path) -> None:
    for _, inside in SHOWN.findall(template.read_text()):
        text = " ".join(re.sub(r"<[^>]*>|\{[{%].*?[%}]\}", " ", inside).split())
        for word in refused():
            assert not re.search(rf"\b{re.escape(word)}\b", text), f"{template.name}: {text!r}"
