"""Compares what is installed with what was reviewed: ``python -m tools.audit``.

`constraints.txt` names every distribution that the product and its extras run with, in the version that
somebody looked at, and what its tests need besides; ``make venv`` installs these. `tools/advisories.txt`
keeps published advisories, so that nothing has to be asked of the network. A new version, or a new
dependency, is looked at, and then written there.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from config.version import PRODUCT

__all__ = ["Advisory", "advisories", "canonical", "findings", "installed", "main", "reviewed"]

ROOT = Path(__file__).parents[1]
CONSTRAINTS, ADVISORIES = ROOT / "constraints.txt", Path(__file__).with_name("advisories.txt")


@dataclass(frozen=True)
class Advisory:
    """Versions of a distribution with a known hole."""

    name: str
    versions: SpecifierSet
    number: str  # as it was published
    what: str


def canonical(name: str) -> str:
    """A distribution's name as all its spellings are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(name: str = PRODUCT) -> dict[str, str]:
    """What the product and its extras need, directly or not, as far as it is here; not the product itself."""
    found: dict[str, str] = {}
    _follow(name, tuple(distribution(name).metadata.get_all("Provides-Extra") or ()), found, set())
    del found[canonical(name)]
    return found


def _follow(name: str, extras: tuple[str, ...], found: dict[str, str], seen: set[tuple[str, str]]) -> None:
    try:
        here = distribution(name)
    except PackageNotFoundError:
        return  # for other platforms, or of an extra that is not installed
    found[canonical(name)] = here.version
    for extra in extras or ("",):
        if (canonical(name), extra) in seen:
            continue
        seen.add((canonical(name), extra))
        for line in here.requires or ():
            needed = Requirement(line)
            if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                _follow(needed.name, tuple(needed.extras), found, seen)


def reviewed(text: str) -> dict[str, str]:
    """The versions of a constraints file."""
    pairs = (line.split("==") for line in _lines(text))
    return {canonical(name): version for name, version in pairs}


def advisories(text: str) -> list[Advisory]:
    """The advisories of a file: name, versions, number and a few words in each line."""
    parts = (line.split(maxsplit=3) for line in _lines(text))
    return [Advisory(canonical(name), SpecifierSet(versions), number, what)
            for name, versions, number, what in parts]


def _lines(text: str) -> Iterator[str]:
    for line in text.splitlines():
        if line := line.partition("#")[0].strip():
            yield line


def findings(here: Mapping[str, str], known: Mapping[str, str], holes: list[Advisory]) -> list[str]:
    """What is wrong with what is here."""
    found = [f"{name} {version}: nobody has reviewed it"
             for name, version in here.items() if name not in known]
    found += [f"{name} {version}: the reviewed version is {known[name]}" for name, version in here.items()
              if name in known and Version(version) != Version(known[name])]
    found += [f"{name} {known[name]}: reviewed, and not needed any more, or of an extra that is not installed"
              for name in known if name not in here]
    for hole in holes:
        version = here.get(hole.name)
        if version and hole.versions.contains(version, prereleases=True):
            found.append(f"{hole.name} {version}: {hole.number}, {hole.what}")
    return found


def main() -> int:
    """Print what is wrong; 1 when there is something."""
    found = findings(installed(), reviewed(CONSTRAINTS.read_text()), advisories(ADVISORIES.read_text()))
    print("\n".join(found) or "everything is as it was reviewed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
