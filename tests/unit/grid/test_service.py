"""Keeping pilots on a grid: how many, how fast, and what the server hears."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grid.base import GridError, PilotClass, PilotState
from grid.service import GridService, Pace
from iceprod.client import Client, Refused


class PaperGrid:
    """A grid that only exists on paper."""

    name = kind = "paper"

    def __init__(self) -> None:
        self.alive: list[str] = []
        self.ended: list[PilotState] = []
        self.broken = False
        self._numbers = itertools.count()

    def submit(self, offer: PilotClass, count: int) -> list[str]:
        if self.broken:
            raise GridError("no paper")
        new = [f"p{next(self._numbers)}" for _ in range(count)]
        self.alive += new
        return new

    def list(self) -> list[PilotState]:
        ended, self.ended = self.ended, []
        return [PilotState(name, "running", PilotClass()) for name in self.alive] + ended

    def remove(self, ids: Iterable[str]) -> None:
        self.alive = [name for name in self.alive if name not in set(ids)]

    def close(self) -> None:
        self.alive = []

    def end(self, seconds: float) -> None:
        """One pilot ends after so long a life."""
        self.ended.append(PilotState(self.alive.pop(0), "ended", PilotClass(), seconds, "was killed"))


def service(client: Client, grid: PaperGrid, count: int, tmp_path: Path) -> GridService:
    return GridService(client, lambda grid_id: grid, PilotClass(), count, tmp_path / "grid.id")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 6)), max_size=10))
def test_there_are_as_many_as_wanted(steps: list[tuple[int, int]]) -> None:
    grid = PaperGrid()
    with Client("http://127.0.0.1:1") as client:
        keeper = service(client, grid, 3, Path("unused"))
        for ends, extra in steps:
            for _ in range(min(ends, len(grid.alive))):
                grid.end(1000.0)
            grid.submit(PilotClass(), extra)
            keeper.reconcile(grid)
            keeper.reconcile(grid)
            assert len(grid.alive) == 3


def test_pilots_that_die_at_once_are_not_started_at_once(tmp_path: Path) -> None:
    grid = PaperGrid()
    with Client("http://127.0.0.1:1") as client:
        keeper = service(client, grid, 1, tmp_path)
        keeper.reconcile(grid)
        grid.end(1000.0)
        keeper.reconcile(grid)
        assert len(grid.alive) == 1
        grid.end(0.1)
        keeper.reconcile(grid)
        assert not grid.alive


def test_a_grid_in_trouble_is_tried_again_later(tmp_path: Path) -> None:
    grid = PaperGrid()
    grid.broken = True
    with Client("http://127.0.0.1:1") as client:
        keeper = service(client, grid, 1, tmp_path)
        keeper.reconcile(grid)
        grid.broken = False
        keeper.reconcile(grid)
        assert not grid.alive


@given(st.lists(st.floats(0, 100), min_size=1, max_size=30))
def test_the_pace_is_bounded_and_recovers(lives: list[float]) -> None:
    pace, now = Pace(), 1000.0
    for lived in lives:
        pace.ended(lived, now)
        assert pace.until - now <= 60.0
        now = max(now, pace.until)
        assert pace.allows(now)
    pace.ended(1000.0, now)
    assert pace.allows(now)


def run(keeper: GridService, until: Any) -> None:
    thread = threading.Thread(target=keeper.run, args=(0.05, 0.02))
    thread.start()
    try:
        until()
    finally:
        keeper.ending.set()
        thread.join(20)
        assert not thread.is_alive()


def test_the_server_hears_of_the_grid_and_of_its_dead(server: Any, tmp_path: Path) -> None:
    grid = PaperGrid()
    server.answers["POST", "/grids"] = (201, {"result": "g1"})
    server.answers["GET", "/pilots?grid_id=g1&keys=pilot_id%7Cgrid_queue_id"] = (
        200, {"a": {"grid_queue_id": "p0"}, "b": {"grid_queue_id": "p1"}})
    with Client(server.url) as client:
        keeper = service(client, grid, 2, tmp_path)

        def until() -> None:
            server.wait_for("/grids/g1")
            grid.end(1000.0)
            server.wait_for("/pilots/a")

        run(keeper, until)
    assert ("DELETE", "/pilots/a", None) in server.requests
    assert ("DELETE", "/pilots/b", None) not in server.requests
    assert server.bodies("/grids/g1")[0]["pilots"] == 2
    assert grid.alive == []


def test_a_grid_that_comes_back_is_the_same_and_its_old_pilots_are_gone(server: Any, tmp_path: Path) -> None:
    (tmp_path / "grid.id").write_text("g7")
    server.answers["GET", "/pilots?grid_id=g7&keys=pilot_id%7Cgrid_queue_id"] = (200, {"a": {}, "b": {}})
    with Client(server.url) as client:
        keeper = service(client, PaperGrid(), 1, tmp_path)
        run(keeper, lambda: server.wait_for("/pilots/b"))
    assert keeper.grid_id == "g7"
    assert not server.bodies("/grids")


def test_a_grid_that_the_server_forgot_is_a_new_one(server: Any, tmp_path: Path) -> None:
    (tmp_path / "grid.id").write_text("g7")
    server.answers["PATCH", "/grids/g7"] = (404, {"reason": "Grid not found"})
    server.answers["POST", "/grids"] = (201, {"result": "g8"})
    with Client(server.url) as client:
        run(service(client, PaperGrid(), 1, tmp_path), lambda: server.wait_for("/grids/g8"))
    assert (tmp_path / "grid.id").read_text() == "g8"


def test_a_grid_that_is_not_wanted_gives_up(server: Any, tmp_path: Path) -> None:
    server.answers["POST", "/grids"] = (403, {"reason": "authorization failed"})
    with Client(server.url) as client, pytest.raises(Refused):
        service(client, PaperGrid(), 1, tmp_path).run(1.0)
