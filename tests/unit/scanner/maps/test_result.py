"""Scan results: both file formats, both versions, and what is refused."""

from __future__ import annotations

import copy
import io
import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.maps.energy import KINDS, EventEnergy, NeutrinoEnergy
from scanner.maps.result import NAN, PIXEL_DTYPE, Method, ResultError, ScanMetadata, ScanResult, nan_rows

METADATA = ScanMetadata(136766, 7637140, "neutrino", 59723.25, is_real_event=True)
VALUES = st.floats(allow_nan=True, allow_infinity=False)


POSITIVE = st.floats(1e-3, 1e12)


def energies() -> st.SearchStrategy[EventEnergy | None]:
    neutrinos = st.builds(NeutrinoEnergy, POSITIVE, POSITIVE, POSITIVE, POSITIVE)
    maybe = st.none() | POSITIVE
    return st.none() | st.builds(EventEnergy, st.sampled_from(list(KINDS)), POSITIVE, maybe, maybe,
                                 st.none() | neutrinos)


@st.composite
def results(draw: st.DrawFn) -> ScanResult:
    tables = {}
    for order in draw(st.sets(st.integers(0, 10), max_size=3)):
        pixels = draw(st.lists(st.integers(0, 12 * 4**order - 1), unique=True, max_size=6))
        rows = [(pixel, *(draw(VALUES) for _ in range(7))) for pixel in pixels]
        tables[1 << order] = np.array(rows, dtype=PIXEL_DTYPE)
    run = draw(st.integers(100_000, 999_999))
    kind = draw(st.sampled_from(["HESE", "EHE", "neutrino", "ESTRES", ""]))
    event, mjd = draw(st.integers(0, 2**40)), draw(st.floats(0, 1e5))
    metadata = ScanMetadata(run, event, kind, mjd, draw(st.booleans()))
    method = Method(draw(st.sampled_from(["", "splinempe"])), draw(st.sampled_from(["", "track_mpe"])))
    return ScanResult(tables, metadata, draw(st.booleans()), method, draw(energies()))


def same(one: ScanResult, other: ScanResult) -> bool:
    # Bytes, so that NaN equals NaN and −0 is not 0; sign and payload of a NaN are not kept by JSON.
    tables = {n: np.stack([np.nan_to_num(t[c], nan=1.5e300) for c in PIXEL_DTYPE.names]).tolist()
              for n, t in one.pixels.items()}
    others = {n: np.stack([np.nan_to_num(t[c], nan=1.5e300) for c in PIXEL_DTYPE.names]).tolist()
              for n, t in other.pixels.items()}
    if not tables:  # nowhere to keep the metadata
        return not others
    facts = [(result.metadata, result.complete, result.method, result.energy) for result in (one, other)]
    return tables == others and facts[0] == facts[1]


@given(results())
def test_json_round_trip(result: ScanResult) -> None:
    text = json.dumps(result.to_json(), allow_nan=False)
    assert same(result, ScanResult.from_json(json.loads(text)))


@given(results())
def test_npz_round_trip(result: ScanResult) -> None:
    file = io.BytesIO()
    result.to_npz(file)
    file.seek(0)
    assert same(result, ScanResult.from_npz(file))


def small() -> ScanResult:
    coarse = nan_rows(np.array([3, 1]))
    coarse["llh"] = [5.0, np.inf]
    return ScanResult({64: nan_rows(np.array([7])), 8: coarse}, METADATA, complete=True)


def test_json_is_the_documented_form() -> None:
    assert small().to_json() == {
        "nside-8": {
            "columns": ["index", "llh", "E_in", "E_tot", "X", "Y", "Z", "T"],
            "metadata": {"nside": 8, "complete": True, "run_id": 136766, "event_id": 7637140,
                         "event_type": "neutrino", "mjd": 59723.25, "is_real_event": True, "version": 1},
            "data": [[1, *[NAN] * 7], [3, 5.0, *[NAN] * 6]],
        },
        "nside-64": {
            "columns": ["index", "llh", "E_in", "E_tot", "X", "Y", "Z", "T"],
            "metadata": {"nside": 64, "complete": True, "run_id": 136766, "event_id": 7637140,
                         "event_type": "neutrino", "mjd": 59723.25, "is_real_event": True, "version": 1},
            "data": [[7, *[NAN] * 7]],
        },
    }


def test_npz_is_the_documented_form(tmp_path: Path) -> None:
    small().to_npz(tmp_path / "r.npz")
    with np.load(tmp_path / "r.npz", allow_pickle=False) as archive:
        assert archive.files == ["header", "nside-8", "nside-64"]
        assert archive["nside-8"].dtype == PIXEL_DTYPE
        header = archive["header"]
    assert header.dtype.names == ("nside", "complete", "run_id", "event_id", "event_type", "mjd",
                                  "is_real_event", "version")
    assert header.tolist() == [(8, True, 136766, 7637140, "neutrino", 59723.25, True, 1),
                               (64, True, 136766, 7637140, "neutrino", 59723.25, True, 1)]


def test_file_name() -> None:
    assert small().file_name(".json") == "run00136766.evt000007637140.neutrino_8_64.json"
    assert small().file_name("npz") == "run00136766.evt000007637140.neutrino_8_64.npz"
    with pytest.raises(ResultError, match="without pixels"):
        ScanResult({}).file_name("json")


@pytest.mark.parametrize(("mjd", "time"), [
    (59723.25, "2022-05-24T06:00:00+00:00"), (0.0, None), (math.nan, None), (math.inf, None), (1e300, None)])
def test_time_of_the_event(mjd: float, time: str | None) -> None:
    found = ScanMetadata(mjd=mjd).time
    assert (found and found.isoformat()) == time


def test_version_0_and_bare_nan_and_unsorted_rows() -> None:
    text = """{"nside-1": {"columns": ["index", "llh", "E_in", "E_tot"], "metadata": {"nside": 1},
               "data": [[5, 2.0, NaN, "<skyreader.nan>"], [2.0, 3, 1, 1]]}}"""
    result = ScanResult.from_json(json.loads(text))
    table = result.pixels[1]
    assert table["index"].tolist() == [2, 5]
    assert table["llh"].tolist() == [3.0, 2.0]
    assert np.isnan(table["E_in"][1])
    assert np.isnan(table["E_tot"][1])
    assert np.isnan(table["X"]).all()
    assert result.metadata == ScanMetadata()
    assert not result.complete


def test_npz_of_version_0_without_header(tmp_path: Path) -> None:
    columns = [("index", int), ("llh", float), ("E_in", float), ("E_tot", float)]
    old = np.array([(4, 1.5, 2.0, 3.0)], dtype=columns)
    np.savez(tmp_path / "old.npz", **{"nside-8": old})
    result = ScanResult.from_npz(tmp_path / "old.npz")
    assert result.pixels[8][["index", "llh", "E_tot"]].tolist() == [(4, 1.5, 3.0)]
    assert result.metadata == ScanMetadata()


def edited(path: list[str | int], value: Any) -> dict[str, Any]:
    document = copy.deepcopy(small().to_json())
    inside: Any = document
    for step in path[:-1]:
        inside = inside[step]
    inside[path[-1]] = value
    return document


@pytest.mark.parametrize(("document", "reason"), [
    ([], "must be an object"),
    ({"nside-8": None}, "nside-8: must be an object of exactly"),
    ({"8": {}}, "'8': keys of a result read 'nside-N'"),
    ({"nside-7": {"columns": [], "metadata": {"nside": 7}, "data": []}}, r"nside-7\.columns"),
    (edited(["nside-8", "extra"], 1), "nside-8: must be an object of exactly"),
    (edited(["nside-8", "columns"], ["index"]), r"nside-8\.columns: version 1 has"),
    (edited(["nside-8", "metadata", "nside"], 16), r"nside-8\.metadata\.nside: must be 8, not 16"),
    (edited(["nside-8", "metadata", "version"], 2), r"nside-8\.metadata\.version: must be 0 or 1"),
    (edited(["nside-8", "metadata", "version"], []), r"nside-8\.metadata\.version: must be 0 or 1"),
    (edited(["nside-8", "metadata", "run_id"], "x"), r"metadata\.run_id: must be int, not 'x'"),
    (edited(["nside-8", "metadata", "run_id"], 12), "run_id: a real event has a run from 100000"),
    (edited(["nside-8", "metadata", "event_type"], "../../x"), "event_type: at most 64 letters"),
    (edited(["nside-8", "metadata", "event_id"], 2**70), "event_id: must be from 0"),
    (edited(["nside-8", "metadata", "event_id"], 1), "belong to different events"),
    (edited(["nside-8", "metadata", "is_real_event"], 1), r"metadata\.is_real_event: must be bool"),
    (edited(["nside-8", "metadata"], 1), r"nside-8\.metadata: must be an object"),
    (edited(["nside-8", "data"], 1), r"nside-8\.data: must be an array"),
    (edited(["nside-8", "data", 1], [1, 2]), r"nside-8\.data\[1\]: must be an array of 8"),
    (edited(["nside-8", "data", 1, 1], 10**400), r"nside-8\.data\[1\]\.llh: the number is too large"),
    (edited(["nside-8", "data", 1, 1], "x"), r"nside-8\.data\[1\]\.llh: must be a number or"),
    (edited(["nside-8", "data", 1, 1], True), r"nside-8\.data\[1\]\.llh: must be a number"),
    (edited(["nside-8", "data", 1, 0], NAN), r"nside-8\.data\[1\]\.index: must be a number"),
    (edited(["nside-8", "data", 1, 0], 1.5), r"nside-8\.data\[1\]\.index: must be a pixel number"),
    (edited(["nside-8", "data", 1, 0], float("nan")), r"nside-8\.data\[1\]\.index: must be a pixel number"),
    (edited(["nside-8", "data", 1, 0], 768), "nside-8: index runs from 0 to 767"),
    (edited(["nside-8", "data", 1, 0], -1), "nside-8: index runs from 0 to 767"),
    (edited(["nside-8", "data", 1, 0], 1), "nside-8: pixel 1 is there twice"),
    ({"nside-12": {**small().to_json()["nside-8"], "metadata": {"nside": 12, "version": 1}}}, "power of two"),
])
def test_json_refusals_name_the_place(document: Any, reason: str) -> None:
    with pytest.raises(ResultError, match=reason):
        ScanResult.from_json(document)


def test_npz_refusals(tmp_path: Path) -> None:
    np.savez(tmp_path / "columns.npz", **{"nside-8": np.zeros(3)})
    with pytest.raises(ResultError, match="nside-8: must be a one-dimensional array with the columns"):
        ScanResult.from_npz(tmp_path / "columns.npz")
    np.savez(tmp_path / "pickled.npz", **{"nside-8": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(ResultError, match="plain arrays"):
        ScanResult.from_npz(tmp_path / "pickled.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(ResultError, match="plain arrays"):
        ScanResult.from_npz(tmp_path / "text.npz")
    np.save(tmp_path / "single.npy", np.zeros(3))
    with pytest.raises(ResultError, match="plain arrays"):
        ScanResult.from_npz(tmp_path / "single.npy")
    with pytest.raises(FileNotFoundError):
        ScanResult.from_npz(tmp_path / "none.npz")


def test_tables_are_checked_and_sorted() -> None:
    assert small().pixels[8]["index"].tolist() == [1, 3]
    assert small().nsides == [8, 64]
    with pytest.raises(ResultError, match="dtype"):
        ScanResult({8: np.zeros(3)})


def test_official_results_are_read_and_kept(reference_results: Path) -> None:
    files = sorted(reference_results.glob("*/*.json"))
    assert files
    for file in files:
        document = json.loads(file.read_text())
        result = ScanResult.from_json(document)
        assert result.file_name("json") == file.name
        written = result.to_json()
        for key, entry in document.items():
            columns = len(entry["columns"])
            ours = [row[:columns] for row in written[key]["data"]]
            theirs = [[NAN if value != value else value for value in row] for row in sorted(entry["data"])]
            assert ours == theirs


def test_official_npz_is_read(reference_results: Path) -> None:
    [file] = reference_results.glob("*.npz")
    result = ScanResult.from_npz(file)
    assert {nside: len(table) for nside, table in result.pixels.items()} == {8: 768, 64: 832, 512: 1543}
    assert result.pixels[512]["llh"].min() == 1112.3994490276289


@pytest.mark.parametrize(("changes", "wrong"), [
    ({"energy_kind": "heat"}, "metadata.energy_kind: must be one of muon, shower, losses, not 'heat'"),
    ({"energy_kind": 5}, "metadata.energy_kind: must be one of"),
    ({"energy_gev": "much"}, "metadata.energy_gev: must be a positive number, not 'much'"),
    ({"energy_gev": NAN}, "metadata.energy_gev: must be a number beside energy_kind"),
    ({"energy_low_gev": -1.0}, "metadata.energy_low_gev: must be a positive number, not -1.0"),
    ({"neutrino_gev": True}, "metadata.neutrino_gev: must be a positive number, not True")])
def test_a_broken_energy_is_refused(changes: dict[str, Any], wrong: str) -> None:
    document = replace(small(), energy=EventEnergy("shower", 5e3, 4e3, 6e3)).to_json()
    for entry in document.values():
        entry["metadata"].update(changes)
    with pytest.raises(ResultError, match=re.escape(wrong)):
        ScanResult.from_json(document)
