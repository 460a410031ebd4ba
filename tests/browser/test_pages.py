"""What holds for every page in a real browser: it fits, it can be used by keyboard, it is in order."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scanner.maps import healpix
from tests.browser.browsing import Visitor
from tests.browser.screenshots import SCHEMES, WIDTHS, pages, take
from tests.browser.world import World
from tests.support.api import Api

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

NAMELESS = """() => [...document.querySelectorAll(
    "a[href], button, input:not([type=hidden]), select, textarea, svg[role=img], img, canvas")]
  .filter((one) => one.checkVisibility() && !(one.getAttribute("aria-label")
    || one.getAttribute("aria-labelledby") || one.hasAttribute("alt") || one.title || one.labels?.length
    || one.textContent.trim() || one.querySelector?.("img[alt]")))
  .map((one) => one.outerHTML.slice(0, 120))"""
"""Whatever can be used or seen, and has no name for those who do not see it."""

LONELY = """() => [...document.querySelectorAll("table")].flatMap((table) =>
  [...table.querySelectorAll("th:not([scope])")].map((cell) => cell.outerHTML.slice(0, 80)))"""


def test_pictures_can_be_taken(browser: Any, api: Api, made: World, tmp_path: Path) -> None:
    taken = dict(take(browser, api, made, tmp_path, "home"))
    kinds = [f"{width}-{scheme}" for width in WIDTHS for scheme in SCHEMES]
    assert {path.name for path in taken} == {f"{page}-{k}.png" for page in ("home", "login") for k in kinds}
    assert max(taken.values()) <= 0
    assert all(path.stat().st_size > 4000 for path in taken)


@pytest.mark.parametrize(("width", "scheme"), list(zip(WIDTHS, SCHEMES, strict=True)))
def test_pages_fit_and_can_be_used_without_seeing_them(api: Api, made: World, visit: Callable[..., Visitor],
                                                       width: int, scheme: str) -> None:
    visitor = visit(api.url, width=width, scheme=scheme)
    visitor.log_in(api.token())
    for name, path in pages(made).items():
        visitor.go(path)
        visitor.settle()
        page = visitor.page
        assert visitor.overflow() <= 0, name
        assert page.evaluate(NAMELESS) == [], name
        assert page.evaluate(LONELY) == [], name
        assert page.locator("h1").count() == 1, name
        assert page.locator("main").count() == page.locator("header.bar").count() == 1, name
        assert page.evaluate("document.documentElement.lang") == "en"
        ids = page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
        assert len(ids) == len(set(ids)), name


def test_one_can_skip_to_the_content(api: Api, made: World, visit: Callable[..., Visitor]) -> None:
    visitor = visit(api.url)
    visitor.log_in(api.token())
    visitor.page.keyboard.press("Tab")
    assert visitor.page.evaluate("document.activeElement.textContent") == "Skip to the content"
    visitor.page.keyboard.press("Enter")
    visitor.page.keyboard.press("Tab")
    assert visitor.page.evaluate("document.querySelector('main').contains(document.activeElement)")


def test_the_map_finds_the_pixels_that_the_server_means(api: Api, made: World,
                                                        visit: Callable[..., Visitor]) -> None:
    random = np.random.default_rng(3)
    z, ra = random.uniform(-1, 1, 3000), random.uniform(0, 2 * np.pi, 3000)
    visitor = visit(api.url)
    visitor.log_in(api.token())
    for nside in (1, 2, 8, 64, 1024, 16384):
        script = f"""import('/web/static/sky.js').then(({{pixelAt}}) =>
            {json.dumps(z.tolist())}.map((z, i) => pixelAt({nside}, z, {json.dumps(ra.tolist())}[i])))"""
        found = np.array(visitor.page.evaluate(script))
        dec = np.degrees(np.arcsin(z))
        wanted = healpix.nested_at(healpix.order_of(nside), np.degrees(ra), dec)
        assert (found == wanted).all(), nside


@pytest.mark.parametrize("projection", ["new sky.Mollweide(1.2)", "new sky.Surroundings(1.2, 0.4)",
                                        "new sky.Surroundings(0, 1.5)"])
def test_the_map_finds_back_to_where_it_points(api: Api, made: World, visit: Callable[..., Visitor],
                                               projection: str) -> None:
    visitor = visit(api.url)
    visitor.log_in(api.token())
    script = f"""import('/web/static/sky.js').then((sky) => {{
        const map = {projection}, found = [];
        for (const x of [-1.3, -0.4, 0.001, 0.7]) for (const y of [-0.5, 0, 0.6]) {{
          const [z, ra] = map.at(x, y), back = map.place(ra, Math.asin(z));
          found.push(Math.hypot(back[0] - x, back[1] - y));
        }}
        return found; }})"""
    assert max(visitor.page.evaluate(script)) < 1e-6


def test_the_map_moves_and_zooms_by_keys_and_wheel(api: Api, made: World,
                                                   visit: Callable[..., Visitor]) -> None:
    visitor = visit(api.url)
    visitor.log_in(api.token())
    visitor.go(f"/web/scans/{made.scans['final']}")
    visitor.settle()
    canvas, said = visitor.page.locator("canvas"), visitor.page.locator("output")
    across = "Number(document.querySelector('canvas').dataset.across)"
    assert visitor.page.evaluate(across) < 130, "it opens on the region"
    visitor.page.get_by_role("button", name="Whole sky").click()
    visitor.wait_for(f"{across} === 360")
    canvas.focus()
    visitor.page.keyboard.press("b")
    visitor.wait_for(f"{across} <= 120")
    assert re.search(r"RA [\d.]+°, Dec [+-][\d.]+°: 2Δ ln L = 0\.00 \(nside 32\)", said.inner_text())
    before = visitor.page.evaluate(across)
    visitor.page.keyboard.press("+")
    visitor.wait_for(f"{across} < {before}")
    visitor.page.keyboard.press("ArrowLeft")
    assert not said.inner_text().endswith("= 0.00 (nside 32)")
    canvas.hover()
    visitor.page.mouse.wheel(0, 300)
    visitor.wait_for(f"{across} > {0.6 * before}")
    visitor.page.get_by_role("button", name="Whole sky").click()
    visitor.wait_for(f"{across} === 360")


def test_the_map_shows_what_the_result_says(api: Api, made: World, visit: Callable[..., Visitor]) -> None:
    visitor = visit(api.url)
    visitor.log_in(api.token())
    result = api.session("user").get(f"/scan/{made.scans['final']}/result").json()["skyscan_result"]
    rows = [row for row in result["nside-32"]["data"] if isinstance(row[1], float)]
    best = min(row[1] for row in rows)
    chosen = rows[:: len(rows) // 20]
    ra, dec = healpix.centres(32, np.array([row[0] for row in chosen]))
    script = f"""fetch('/web/scans/{made.scans["final"]}/pixels').then((answer) => answer.arrayBuffer())
        .then(async (data) => {{
          const {{map}} = (await import('/web/static/sky.js')).readMap(data);
          const places = {json.dumps(np.radians([ra, dec]).T.tolist())};
          return places.map(([ra, dec]) => map.at(Math.sin(dec), ra)); }})"""
    for (value, nside), row in zip(visitor.page.evaluate(script), chosen, strict=True):
        assert nside == 32
        assert math.isclose(value, 2 * (row[1] - best), abs_tol=1e-3)


RED = """() => { const canvas = document.querySelector('[data-skymap] canvas');
    const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data, found = [];
    for (let place = 0; place < data.length / 4; place++) {
      const [red, green, blue] = data.slice(4 * place, 4 * place + 3);
      if (red > 240 && Math.abs(green - 34) < 12 && Math.abs(blue - 34) < 12) {
        found.push([place % canvas.width, Math.floor(place / canvas.width)]); } }
    return {found, width: canvas.width, height: canvas.height}; }"""


def test_the_map_draws_the_outlines_of_the_contours_file(api: Api, made: World,
                                                         visit: Callable[..., Visitor]) -> None:
    visitor = visit(api.url)
    visitor.log_in(api.token())
    visitor.go(f"/web/scans/{made.scans['final']}")
    visitor.settle()
    levels = visitor.page.locator("[data-skymap] select").input_value()
    visitor.page.get_by_role("button", name="Whole sky").click()
    visitor.wait_for("document.querySelector('canvas').dataset.across === '360'")
    drawn = visitor.page.evaluate(RED)
    product = api.session("user").get(f"/scan/{made.scans['final']}/products/contours.{levels}.json").json()
    best = api.session("user").get(f"/scan/{made.scans['final']}/progress").json()["best_fit"]
    script = f"""import('/web/static/sky.js').then(({{Mollweide}}) => {{
        const sky = new Mollweide({math.radians(best["ra_deg"])});
        return {json.dumps(product["regions"][0]["rings"])}.flat().map(([ra, dec]) =>
          sky.place(ra * Math.PI / 180, dec * Math.PI / 180)); }})"""
    unit = 4.1 / drawn["width"]
    wanted = np.array(visitor.page.evaluate(script)) / unit * [1, -1]
    wanted += np.array([drawn["width"], drawn["height"]]) / 2
    found = np.array(drawn["found"])
    assert len(found) > 10
    away = np.linalg.norm(found[:, None] + 0.5 - wanted[None], axis=2).min(axis=1)
    assert np.quantile(away, 0.9) < 6.0  # lines between points that may lie some pixels apart


def test_pages_are_whole_without_scripts(api: Api, made: World, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(api.url + "/web/login")
    page.get_by_label("Token", exact=True).fill(api.token("user", username="alice"))
    page.get_by_role("button", name="Log in", exact=True).click()
    page.goto(f"{api.url}/web/datasets/{made.datasets['running']}")
    page.get_by_role("link", name="Show it").click()
    assert page.get_by_text("RuntimeError: propagation failed").first.is_visible()
    page.goto(f"{api.url}/web/scans/{made.scans['final']}")
    assert page.locator("noscript img").count() == 1
    context.close()
