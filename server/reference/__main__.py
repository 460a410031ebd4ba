"""``python -m server.reference FOLDER``: write the reference as Markdown."""

from __future__ import annotations

import sys
from pathlib import Path

from server import app
from server.reference import PAGES


def main(arguments: list[str]) -> int:
    """Write all pages; the exit status: 1 when something on them lacks a description, 2 for wrong usage."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    assert app.ROUTES  # what it describes
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    missing = []
    for name, page in PAGES.items():
        (folder / f"{name}.md").write_text(page.text(), encoding="utf8")
        missing += [f"{name}: {what}" for what in page.missing()]
    print(*(f"no description: {what}" for what in missing), sep="\n", end="\n" if missing else "")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
