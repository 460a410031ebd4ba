"""Guesses change nothing: whatever is begun ahead, and when, the map is the same to the bit."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scanner.maps import healpix
from scanner.maps.levels import Progression
from scanner.maps.result import nan_rows
from server.scans.pixels.cutting import Cut, Plan, cut_round, round_pixels, without
from server.scans.pixels.guessing import fitting, guess_id, guessed, is_guess, owner
from server.scans.pixels.tables import joined

LEVELS = ("1:0,4:2,16:6", "2:0,8:6,32:8+")
RECO = "track_mpe"


def fit(cut: Cut) -> tuple[int, np.ndarray]:
    """A made-up reconstruction, which depends on the direction and on the seed; some fits fail."""
    table = nan_rows(cut.pixels)
    ra, dec = (np.radians(angle) for angle in healpix.centres(cut.nside, cut.pixels))
    table["llh"] = 500.0 - 80.0 * np.cos(dec - 0.3) * np.cos(ra - 2.0) + np.sin(11 * ra) * np.cos(7 * dec)
    if cut.seeds is not None:
        table["X"] = np.nan_to_num(cut.seeds["llh"]) / 3 + cut.seeds["index"]
    table["llh"][cut.pixels % 17 == 3] = np.nan
    return cut.nside, table


class Scan:
    """A scan in memory by many pilots: batches come in any order, guesses are made and done in between."""

    def __init__(self, levels: str, ahead: bool, seed: int) -> None:
        self.progression, self.ahead, self.random = Progression.parse(levels), ahead, random.Random(seed)
        self.results: list[tuple[int, np.ndarray]] = []
        self.known: dict[int, np.ndarray] = {}
        self.guesses: dict[int, tuple[Cut, tuple[int, np.ndarray] | None]] = {}
        self.adopted = 0

    def run(self) -> dict[int, np.ndarray]:
        for _ in range(60):
            cuts, ready = self.plan()
            if not cuts and not ready:
                return joined(self.results)
            for cut in [*cuts, *(cut for cut, _ in ready)]:
                self.known[cut.nside] = np.append(self.known.get(cut.nside, cut.pixels[:0]), cut.pixels)
            self.do([*((cut, None) for cut in cuts), *ready])
        raise AssertionError("the scan does not end")

    def plan(self) -> tuple[list[Cut], list[tuple[Cut, tuple[int, np.ndarray] | None]]]:
        results = joined(self.results)
        wanted = round_pixels(self.progression, RECO, results, self.known, is_settled=True)
        chosen = fitting(self.progression, [cut for cut, _ in self.guesses.values()], wanted, results)
        plan = Plan(first=0, size=self.random.randint(1, 60), adopted=[cut.seq for cut in chosen])
        cuts = cut_round(self.progression, RECO, plan, results, self.known, chosen)
        rest = without(wanted, chosen)
        asked = {nside: [cut.pixels for cut in cuts if cut.nside == nside] for nside in rest}
        assert all(sorted(np.concatenate(asked[nside])) == list(rest[nside]) for nside in rest)
        assert sum(len(cut.pixels) for cut in cuts) == sum(map(len, rest.values()))
        self.adopted += len(chosen)
        return cuts, [self.guesses.pop(cut.seq) for cut in chosen]

    def do(self, batches: list[tuple[Cut, tuple[int, np.ndarray] | None]]) -> None:
        self.random.shuffle(batches)
        for cut, result in batches:
            if self.ahead and self.random.random() < 0.7:
                self.guess()
            self.results.append(result or fit(cut))

    def guess(self) -> None:
        known = dict(self.known)
        for cut, _ in self.guesses.values():
            known[cut.nside] = np.append(known.get(cut.nside, cut.pixels[:0]), cut.pixels)
        sizes = {nside: self.random.randint(1, 40) for nside in self.progression.nsides}
        first = max(self.guesses, default=self.adopted + 100) + 1
        results, number = joined(self.results), self.random.randint(1, 3)
        for cut in guessed(self.progression, results, known, number, sizes, first):
            self.guesses[cut.seq] = cut, fit(cut) if self.random.random() < 0.5 else None


@pytest.mark.parametrize("levels", LEVELS)
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1 << 30))
def test_guesses_change_nothing(levels: str, seed: int) -> None:
    plain, ahead = Scan(levels, False, seed), Scan(levels, True, seed + 1)
    one, other = plain.run(), ahead.run()
    assert one.keys() == other.keys()
    assert all(one[nside].tobytes() == other[nside].tobytes() for nside in one)


@pytest.mark.parametrize("levels", LEVELS)
def test_guesses_come_true(levels: str) -> None:
    scans = [Scan(levels, True, seed) for seed in range(5)]
    for scan in scans:
        scan.run()
    assert sum(scan.adopted for scan in scans) > 5


def test_a_guess_with_another_seed_or_a_strange_pixel_is_not_adopted() -> None:
    progression = Progression.parse("1:0,4:2")
    results = dict([fit(Cut(0, 1, np.arange(12), None))])
    known = {1: np.arange(12)}
    wanted = round_pixels(progression, RECO, results, known, is_settled=True)
    good, = guessed(progression, results, known, 1, {4: 8}, 0)
    assert good.seeds is not None
    seeds = good.seeds.copy()
    seeds["llh"][0] += 1e-9
    strange = np.setdiff1d(np.arange(192), wanted[4])[:1]
    bad = [Cut(1, 4, good.pixels, seeds), Cut(2, 4, good.pixels, None),
           Cut(3, 4, np.append(good.pixels, strange), np.append(good.seeds, good.seeds[:1])),
           Cut(4, 64, good.pixels, good.seeds)]
    assert fitting(progression, [*bad, good, good], wanted, results) == [good], "and no pixel twice"


def test_nothing_is_guessed_before_a_result_or_of_failed_parents() -> None:
    progression = Progression.parse("1:0,4:2")
    assert guessed(progression, {}, {1: np.arange(12)}, 3, {4: 8}, 0) == []
    nside, table = fit(Cut(0, 1, np.arange(12), None))
    made = guessed(progression, {nside: table}, {1: np.arange(12)}, 9, {4: 8}, 5)
    assert [cut.seq for cut in made] == list(range(5, 5 + len(made)))
    parents = np.unique(np.concatenate([healpix.parents(4, cut.pixels, 1) for cut in made]))
    assert np.isfinite(table["llh"][parents]).all()


def test_names() -> None:
    assert owner(guess_id("a")) == owner("a") == "a"
    assert is_guess(guess_id("a"))
    assert not is_guess("a")
