"""``make events``: fetch public real events and official results, for the tests that compare with them.

They are published with the tests of IceCube's Skymap Scanner; `events.txt` has the list, with the commit and
the SHA-256 of each file, so what arrives is what the tests were written for. The data stay outside the
repository: in ``ICEPROD_TEST_DATA``, or in ``.testdata``. ``EVENTS_MIRROR`` names another address below which
the files of tests/data/ lie. Needs the standard library alone.
"""

from __future__ import annotations

import hashlib
import os
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

__all__ = ["main"]

HERE = Path(__file__).parent
SOURCE = "https://raw.githubusercontent.com/icecube/skymap_scanner/{commit}/tests/data"
SECONDS = 30
DONE, FAILED, UNREACHABLE = 0, 1, 3
WAY_OUT = """
What to do without this address: fetch github.com/icecube/skymap_scanner on another machine and say
    EVENTS_MIRROR=file:///path/to/skymap_scanner/tests/data make events
or name a folder that holds events/ in ICEPROD_TEST_DATA. Without these files their tests are skipped."""


@dataclass(frozen=True)
class File:
    """A published file: its digest, its path at the source, its name here."""

    sha256: str
    source: str
    name: str


def listed() -> tuple[str, list[File]]:
    """The commit, and the files that are wanted."""
    lines = [line.split() for line in (HERE / "events.txt").read_text(encoding="utf8").splitlines()
             if not line.startswith("#")]
    return lines[0][1], [File(*words) for words in lines[1:]]


def main() -> int:
    """Fetch what is missing; the exit status: 1 when something arrives changed, 3 when nobody answers."""
    commit, files = listed()
    address = os.environ.get("EVENTS_MIRROR", "").rstrip("/") or SOURCE.format(commit=commit)
    folder = Path(os.environ.get("ICEPROD_TEST_DATA") or HERE.parent / ".testdata") / "events"
    missing = [file for file in files if not _is_here(folder / file.name, file.sha256)]
    for file in missing:
        try:
            with urllib.request.urlopen(f"{address}/{file.source}", timeout=SECONDS) as answer:
                content = answer.read()
        except (OSError, urllib.error.URLError) as error:
            print(f"cannot fetch {address}/{file.source}: {error}", WAY_OUT, sep="\n", file=sys.stderr)
            return UNREACHABLE
        if hashlib.sha256(content).hexdigest() != file.sha256:
            print(f"{address}/{file.source} is not the file that the tests know; nothing was written",
                  file=sys.stderr)
            return FAILED
        _write(folder / file.name, content)
    print(f"{len(missing)} files fetched, {len(files) - len(missing)} were there: {folder}")
    return DONE


def _is_here(path: Path, sha256: str) -> bool:
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.part")
    partial.write_bytes(content)
    partial.replace(path)


if __name__ == "__main__":
    sys.exit(main())
