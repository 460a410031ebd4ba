"""Marks for programs that write parts of a page are not words of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from server.web.home import docs_pages
from server.web.home.docs_pages import render_page


@pytest.mark.parametrize("name", ["figures", "architecture"])
def test_readers_see_no_marks(name: str) -> None:
    html = render_page("", name).html
    assert "<table>" in html
    assert "&lt;!--" not in re.sub(r"<code.*?</code>", "", html, flags=re.DOTALL)


def test_only_a_mark_by_itself_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.md").write_text("# A\n\n<!-- a: b -->\n\n"
                                   "words <!-- c -->\n\n<!-- d --> words\n\n<!-- /a -->\n")
    monkeypatch.setattr(docs_pages, "FOLDER", tmp_path)
    render_page.cache_clear()
    html = render_page("", "x").html
    render_page.cache_clear()
    assert html.count("&lt;!--") == 2
    assert html.count("<p>") == html.count("</p>") == 2
