"""Compiled fits: for every level the same as numba's own, refused when the arguments are not theirs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from scanner.common.compiled import kernel
from scanner.machine import entry, keeping
from scanner.machine.calling import Loaded, types_of
from scanner.machine.entry import Entry, label_of
from scanner.machine.keeping import Label, unpack
from scanner.machine.levels import LEVELS, host_level, runs_here
from scanner.recos.recos import ENTRIES, FITS, find_reco
from scanner.recos.track.fit import fit_pixels
from scanner.recos.track.hits import TrackHits
from scanner.recos.track.likelihood import Doms
from scanner.recos.track.reco import tables
from scanner.recos.track.search import GRID, MPE_WIDTHS, valleys_for

DIRECTIONS = np.linspace(0.5, 2.5, 9), np.linspace(0.0, 6.0, 9)


def _arguments(hits: TrackHits) -> tuple[object, ...]:
    return (hits.doms, hits.doms, hits.coarse, tables(), *DIRECTIONS, np.full((9, 4), np.nan), GRID,
            valleys_for(hits.n_hit), MPE_WIDTHS)


def _code(name: str, level: str) -> bytes:
    made = subprocess.run([sys.executable, "-m", entry.BUILDER, name, "--level", level], check=True,
                          stdout=subprocess.PIPE).stdout
    code = unpack(label_of(name, level), made)
    assert code is not None
    return code


def test_a_compiled_fit_says_what_numba_says(dim_hits: TrackHits) -> None:
    ahead, by_numba = np.empty((9, 6)), np.empty((9, 6))
    ENTRIES["track_mpe"](*_arguments(dim_hits), ahead)
    fit_pixels(*_arguments(dim_hits), by_numba)
    assert np.allclose(ahead[:, 0], by_numba[:, 0], atol=1e-3)  # single precision, in another order


@pytest.mark.nightly
@pytest.mark.parametrize("level", [name for name in LEVELS if runs_here(name) and name != host_level().name])
def test_every_level_says_the_same_but_for_roundings(level: str, dim_hits: TrackHits) -> None:
    rows = np.empty((9, 6)), np.empty((9, 6))
    ENTRIES["track_mpe"](*_arguments(dim_hits), rows[0])
    Loaded("track_mpe", _code("track_mpe", level))(*_arguments(dim_hits), rows[1])
    assert np.allclose(rows[0][:, 0], rows[1][:, 0], atol=1e-3)


def test_a_processor_runs_its_level_and_those_below() -> None:
    assert runs_here(host_level().name)
    assert not runs_here("x86-64-v9")
    if host_level().name != "generic":
        assert runs_here("x86-64")
        assert not runs_here("generic")


def test_arguments_of_other_types_are_refused(dim_hits: TrackHits) -> None:
    fit, given = ENTRIES["track_mpe"], _arguments(dim_hits)
    with pytest.raises(TypeError, match="takes f8/1"):
        fit(*given, np.empty((9, 6), np.float32))
    with pytest.raises(TypeError, match="takes f8/1"):
        fit(*given)
    with pytest.raises(TypeError, match="without gaps"):
        fit(*given, np.empty((9, 12))[:, ::2])


def test_arrays_with_gaps_are_taken_as_they_are(dim_hits: TrackHits) -> None:
    fit, given, rows = ENTRIES["track_mpe"], _arguments(dim_hits), [np.empty((9, 6)) for _ in range(2)]
    fit(*given, rows[0])
    apart = Doms(*(np.repeat(column, 2)[::2] for column in dim_hits.doms))
    fit(apart, apart, *given[2:], rows[1])
    assert np.array_equal(*rows)


def test_types_are_told_in_order() -> None:
    assert types_of((1, 2.0, (np.zeros(2), np.zeros((1, 1), np.int32)))) == "i8,f8,f8/1,i4/2"


@pytest.mark.parametrize("name", FITS)
def test_a_fit_calls_nothing_but_the_c_library(name: str) -> None:
    """Else the builder refuses it: it would not run where numba is not loaded."""
    find_reco(name)
    ENTRIES[name].load()


def test_a_fit_that_is_found_nowhere_is_compiled_and_kept(tmp_path: Path, dim_hits: TrackHits,
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "own_folder", lambda: tmp_path)
    monkeypatch.setattr(keeping, "SHIPPED", tmp_path / "none")
    fit, rows = Entry("track_mpe", fit_pixels), np.empty((9, 6))
    fit(*_arguments(dim_hits), rows)
    assert np.isfinite(rows).all()
    assert (tmp_path / label_of("track_mpe").file).exists()


def test_where_nothing_is_kept_it_is_compiled_all_the_same(dim_hits: TrackHits,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "own_folder", lambda: None)
    monkeypatch.setattr(keeping, "SHIPPED", Path("/nowhere"))
    kept, rows = np.empty((9, 6)), np.empty((9, 6))  # the same sources make the same code: equal to the bit
    ENTRIES["track_mpe"](*_arguments(dim_hits), kept)
    Entry("track_mpe", fit_pixels)(*_arguments(dim_hits), rows)
    assert np.array_equal(kept, rows)


def test_where_it_cannot_be_compiled_ahead_numba_compiles_it(
        dim_hits: TrackHits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str]) -> None:
    ahead, rows = np.empty((9, 6)), np.empty((9, 6))
    ENTRIES["track_mpe"](*_arguments(dim_hits), ahead)
    monkeypatch.setattr(keeping, "own_folder", lambda: tmp_path)
    monkeypatch.setattr(keeping, "SHIPPED", tmp_path / "none")
    monkeypatch.setattr(entry, "BUILDER", "scanner.recos.no_such_builder")
    Entry("track_mpe", fit_pixels)(*_arguments(dim_hits), rows)
    assert np.allclose(ahead[:, 0], rows[:, 0], atol=1e-3)
    assert "numba compiles it" in capfd.readouterr().err


def test_what_needs_a_runtime_is_not_compiled_ahead() -> None:
    asked = """
import numpy as np
from scanner.machine.building import BuildError, choose_level, compile_fit
from scanner.machine.levels import host_level
choose_level(host_level().name)
from scanner.common.compiled import kernel

@kernel
def sort(values):
    print(len(values))

try:
    compile_fit("sort", sort, (np.zeros(3),))
except BuildError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True)
    assert "iceprod_sort: needs" in told.stdout


def test_a_builder_knows_its_fits_only() -> None:
    told = subprocess.run([sys.executable, "-m", entry.BUILDER, "tracks"], check=False, capture_output=True,
                          text=True)
    assert told.returncode == 2
    assert "invalid choice: 'tracks'" in told.stderr


def test_a_worker_imports_neither_compiler_nor_scipy() -> None:
    """What a worker loads before and while it reconstructs: each costs as much as a scan's first level."""
    asked = """
import sys, numpy as np
import scanner.worker
from scanner.batch import run_batch
from scanner.simulation.simulate import simulate_track
heavy = {"numba", "scipy", "healpy", "astropy", "astropy_healpix", "matplotlib", "tornado"}
print(sorted(heavy & sys.modules.keys()))
"""
    told = subprocess.run([sys.executable, "-c", asked], check=True, capture_output=True, text=True)
    assert told.stdout == "[]\n"


def test_labels_name_files() -> None:
    assert Label("pandel_shape").file == "pandel_shape"
    assert Label("track", "x86-64").file == "track.x86-64"
    assert kernel(len).py_func is len
