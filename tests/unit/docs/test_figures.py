"""Tables of figures on the pages are those of the file beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from iceprod.cli.benching.pages import filled
from iceprod.cli.benching.records import read_record
from iceprod.cli.benching.sheets import gathered

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("name", sorted(path.name for path in DOCS.glob("figures*.md")))
def test_tables_are_those_of_the_file(name: str) -> None:
    text = (DOCS / name).read_text()
    assert filled(text, read_record(DOCS / "figures.json")).text == text, \
        f"run `iceprod bench figures docs/figures.json docs/{name}`"


def test_the_file_s_figures_are_those_of_its_objects() -> None:
    record = read_record(DOCS / "figures.json")
    assert gathered(record.runs) == record.figures
