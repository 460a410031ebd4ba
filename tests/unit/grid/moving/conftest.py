"""Storage, and a place to which its files are moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from grid.moving import retries, steps
from grid.moving.cache import Cache
from grid.moving.here import Here
from grid.moving.items import Item, Means
from grid.moving.lent import Lent
from grid.moving.web import Line
from tests.support.storage.web import Storage


@pytest.fixture
def storage() -> Iterator[Storage]:
    made = Storage()
    yield made
    made.close()


@pytest.fixture
def make_storage() -> Iterator[Callable[..., Storage]]:
    made: list[Storage] = []

    def make(**options: Any) -> Storage:
        made.append(Storage(**options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def here(tmp_path: Path) -> Here:
    return place(tmp_path / "work")


@pytest.fixture
def hasty(tmp_path: Path) -> Here:
    """One that waits for a second only, where it is to wait in vain."""
    return place(tmp_path / "work", patience=1.0)


def place(directory: Path, means: Means | None = None, cache: Cache | None = None,
          patience: float = 10.0, **told: Any) -> Here:
    """A task's directory to which files are moved, with what the server lent."""
    directory.mkdir(parents=True, exist_ok=True)
    return Here(directory, means or Means(patience=patience), lambda argv: "no command runs here",
                lent=Lent(told, lambda: {"signed": {}, **told}), line=Line(patience), cache=cache or Cache())


def fetch(here: Here, *items: Item) -> list[float]:
    """Fetch without waiting; the pauses that there would have been."""
    pauses: list[float] = []
    steps.fetch(list(items), here, pauses.append)
    return pauses


def wanted(remote: str, local: str = "file", **more: Any) -> Item:
    return Item(remote, local, is_input=True, is_output=False, **more)


def made(remote: str, local: str = "file", **more: Any) -> Item:
    return Item(remote, local, is_input=False, is_output=True, **more)


def store(here: Here, *items: Item, tries: int = 10) -> list[float]:
    """Store without waiting; the pauses that there would have been. Raises what the last try raised."""
    storing, pauses = steps.Storing(list(items), here), list[float]()
    while (seconds := storing.once()) and len(pauses) < tries:
        pauses.append(seconds)
    return pauses


@pytest.fixture(autouse=True)
def _no_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps.random, "random", lambda: 0.5)
    assert retries.FETCH_TRIES == 5
