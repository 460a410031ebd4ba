"""What axe-core (https://github.com/dequelabs/axe-core, MPL-2.0) finds wrong with a page.

The package that brings it (axe-playwright-python, MIT) carries the script: nothing comes from elsewhere.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

__all__ = ["COLOURS", "faults", "without_axe"]

COLOURS = ("color-contrast", "link-in-text-block")
"""The rules that a colour scheme has a say in."""

RUN = """(rules) => axe.run(document, {resultTypes: ["violations"],
    ...(rules.length ? {runOnly: {type: "rule", values: rules}} : {})})
  .then((found) => found.violations.map((one) => ({
  rule: one.id, impact: one.impact, help: one.help,
  places: one.nodes.map((node) => `${node.target.join(" ")}: ${node.html.slice(0, 160)} | ` +
    [...node.any, ...node.all, ...node.none].map((check) => check.message).join("; ")) })))"""


def without_axe() -> str:
    """Why pages cannot be looked at; empty when they can."""
    try:
        import axe_playwright_python  # noqa: F401
    except ImportError:
        return "axe-core is not installed"
    return ""


@functools.cache
def _script() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf8")


def faults(page: Any, rules: Sequence[str] = ()) -> list[str]:
    """What is wrong with an open page by some rules, or by all: a line for each fault with its places."""
    page.evaluate(_script() + "; undefined")
    return [f"{one['rule']} ({one['impact']}): {one['help']}\n    " + "\n    ".join(one["places"])
            for one in page.evaluate(RUN, list(rules))]
