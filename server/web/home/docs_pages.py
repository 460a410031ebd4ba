"""The documentation: the pages of `docs/`, and the reference as this server writes it of itself."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.token import Token

from server.common.errors import NotFound
from server.reference import PAGES
from server.rest.routing import Route, allow
from server.web.common.handler import NotLoggedIn, PageHandler

__all__ = ["ROUTES", "render_page"]

_PACKAGED, _CHECKOUT = Path(__file__).parents[1] / "docs", Path(__file__).parents[3] / "docs"
FOLDER = _PACKAGED if _PACKAGED.is_dir() else _CHECKOUT
BASE = "/web/docs"
_NAME = re.compile(r"[a-z0-9-]+")
_MARK = re.compile(r"<!-- [^<>\n]* -->")
_PICTURE = re.compile(r"[a-z0-9-]+\.webp")
_SCROLL = '<div class="scroll" tabindex="0" role="group" aria-label="Table">'  # reached by keys, too


@dataclass(frozen=True)
class Rendered:
    """A page as HTML, and its title."""

    title: str
    html: str


@functools.cache
def render_page(folder: str, name: str) -> Rendered:
    """A page of the documentation; it takes a moment the first time. Raises NotFound."""
    text = _text(folder, name)
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.add_render_rule("table_open", lambda *_: f"{_SCROLL}<table>\n")
    reader.add_render_rule("table_close", lambda *_: "</table></div>\n")
    tokens = list(_without_marks(reader.parse(text)))
    title = ""
    for number, (before, token) in enumerate(pairwise(tokens), 1):
        if before.type == "heading_open":
            before.attrSet("id", _anchor(token.content))
            title = title or token.content
        if token.type == "th_open" and not tokens[number + 1].content:  # a column without a title
            token.tag = tokens[number + 2].tag = "td"
        elif token.type == "th_open":
            token.attrSet("scope", "col")
        if token.type in ("th_open", "td_open"):
            token.attrs.pop("style", None)  # alignment, which the pages' policy refuses
        for child in token.children or ():
            if child.type == "link_open":
                _lead(child, folder)
            elif child.type == "image":
                child.attrSet("src", f"{BASE}/{_resolved(folder, str(child.attrGet('src') or ''))}")
                child.attrSet("loading", "lazy")
    return Rendered(title.replace("`", "") or name, reader.renderer.render(tokens, reader.options, {}))


def _without_marks(tokens: list[Token]) -> Iterator[Token]:
    """All but paragraphs that are one comment: marks for programs that write parts of a page."""
    skipped = 0
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "paragraph_open" and after is not None and _MARK.fullmatch(after.content):
            skipped = 3  # the opening, its words, the end
        if skipped:
            skipped -= 1
        else:
            yield token


def _text(folder: str, name: str) -> str:
    if folder == "reference" and name in PAGES:
        return PAGES[name].text()
    path = FOLDER / folder / f"{name}.md"
    if _NAME.fullmatch(name) and _NAME.fullmatch(folder or "x"):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return path.read_text(encoding="utf8")
    if (folder, name) == ("", "index"):  # installed without the pages
        return "# Documentation\n\n" + "\n".join(
            f"- [{page.title}](reference/{key}.md)" for key, page in PAGES.items()) + "\n"
    raise NotFound("there is no such page")


def _picture(name: str) -> bytes:
    """A picture of the pages. Raises NotFound."""
    if _PICTURE.fullmatch(name):
        with contextlib.suppress(FileNotFoundError):
            return (FOLDER / "pictures" / name).read_bytes()
    raise NotFound("there is no such picture")


def _lead(link: Token, folder: str) -> None:
    """Let a link to another page lead to it here; one to another file of the source leads nowhere."""
    target, hashed, part = str(link.attrGet("href") or "").partition("#")
    if "://" in target or not target:
        return
    path = PurePosixPath(_resolved(folder, target))
    if path.suffix == ".md" and ".." not in path.parts:
        link.attrSet("href", f"{BASE}/{path.with_suffix('')}{hashed}{part}")
    else:
        link.attrs.pop("href")


def _resolved(folder: str, target: str) -> str:
    """A relative path as seen from the folder of all pages."""
    parts = [folder] if folder else []
    for part in target.split("/"):
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _anchor(heading: str) -> str:
    """The name that links use for a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


class Docs(PageHandler):
    """A page of the documentation, for everybody."""

    @allow("everybody")
    async def get(self, page: str = "index", folder: str = "") -> None:
        if folder == "pictures":
            self.set_header("Content-Type", "image/webp")
            self.finish(await asyncio.to_thread(_picture, page))
            return
        with contextlib.suppress(NotLoggedIn):  # who is logged in also sees the navigation
            self.caller = await self.authenticate()
        rendered: Any = await asyncio.to_thread(render_page, folder, page)
        self.page("docs.html", title=rendered.title, content=rendered.html, is_index=page == "index")


ROUTES = [
    Route(BASE, Docs, "web"),
    Route(f"{BASE}/", Docs, "web"),
    Route(BASE + "/{page:any}", Docs, "web"),
    Route(BASE + "/{folder}/{page:any}", Docs, "web"),
]
