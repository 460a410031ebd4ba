"""icecube-skyreader 1.6 as the reader of our result files.

It wants pandas < 3 and is installed in an environment of its own, whose interpreter
``ICEPROD_SKYREADER_PYTHON`` names (``pip install icecube-skyreader==1.6.3 'pandas<3'``).
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from scanner.maps import healpix
from scanner.maps.energy import EventEnergy
from scanner.maps.level_sets import level_set
from scanner.maps.levels import Progression, first_pixels, next_pixels
from scanner.maps.posterior import Posterior
from scanner.maps.result import PIXEL_DTYPE, Method, ScanMetadata, ScanResult, nan_rows
from scanner.maps.skymap import SkyMap

METADATA = ScanMetadata(136766, 7637140, "neutrino", 59723.25, is_real_event=True)

READ = """
import json, sys
from skyreader import SkyScanResult
from_json, from_npz = SkyScanResult.read_json(sys.argv[1]), SkyScanResult.read_npz(sys.argv[2])
metadata = from_json.get_event_metadata()
ra, dec = from_json.best_dir
print(json.dumps({
    "close": bool(from_json.is_close(from_npz)), "nsides": from_json.nsides, "name": str(metadata),
    "event": [metadata.run_id, metadata.event_id, metadata.mjd, metadata.is_real_event, metadata.version],
    "npz_event": str(from_npz.get_event_metadata()), "minimal": from_npz.has_minimal_metadata(),
    "best": [float(ra), float(dec), float(from_json.min_llh)],
    "filenames": [str(from_json.get_filename(metadata, kind)) for kind in ("json", "npz")],
    "written": [str(from_json.to_json(metadata, sys.argv[3])), str(from_npz.to_npz(metadata, sys.argv[3]))],
}))
"""

PLOT = """
import sys
from pathlib import Path
from skyreader import SkyScanResult
from skyreader.plot.plot import SkyScanPlotter
result, plotter = SkyScanResult.read_json(sys.argv[1]), SkyScanPlotter(output_dir=Path(sys.argv[2]))
plotter.create_plot(result)
plotter.create_plot_zoomed(result, extra_ra=float("nan"), extra_dec=float("nan"), extra_radius=float("nan"),
                           plot_bounding_box=False)
"""


def run_in_skyreader(code: str, *arguments: object) -> str:
    python = os.environ.get("ICEPROD_SKYREADER_PYTHON")
    if not python:
        pytest.skip("ICEPROD_SKYREADER_PYTHON names no interpreter with icecube-skyreader")
    environment = {**os.environ, "MPLBACKEND": "agg"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run([python, "-c", code, *map(str, arguments)], env=environment, text=True,
                          capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def bowl(nside: int, pixels: np.ndarray) -> np.ndarray:
    table = nan_rows(pixels)
    away = np.square(healpix.vectors(nside, pixels) - healpix.unit_vectors(210.0, 12.0)).sum(axis=1)
    table["llh"] = 1000 + 4000 * away
    table["X"], table["Y"], table["Z"], table["T"] = 10.5, -200.25, 33.0, 9987.125
    return table


@pytest.fixture(scope="module")
def scan() -> ScanResult:
    """A closed scan of three levels with one failed fit."""
    progression = Progression.parse("8:0,32:12,128:24")
    results = {8: bowl(8, first_pixels(progression))}
    while wanted := next_pixels(progression, results):
        for nside, pixels in wanted.items():
            old = results.get(nside, np.empty(0, PIXEL_DTYPE))
            results[nside] = np.concatenate([old, bowl(nside, pixels)])
    results[8]["llh"][3] = np.nan
    energy = EventEnergy("muon", 6e4, 3.6e4)  # some of what an energy has is not known
    return ScanResult(results, METADATA, True, Method("splinempe", "track_mpe"), energy)


@pytest.fixture
def files(scan: ScanResult, tmp_path: Path) -> tuple[Path, Path]:
    paths = tmp_path / scan.file_name("json"), tmp_path / scan.file_name("npz")
    paths[0].write_text(json.dumps(scan.to_json(), allow_nan=False))
    scan.to_npz(paths[1])
    return paths


def test_skyreader_reads_and_writes_what_we_do(
        scan: ScanResult, files: tuple[Path, Path], tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    told = json.loads(run_in_skyreader(READ, *files, theirs))
    best = SkyMap.from_results(scan.pixels).best_fit
    assert told["close"]
    assert told["minimal"]
    assert told["nsides"] == [8, 32, 128]
    assert told["event"] == [136766, 7637140, 59723.25, True, 1]
    assert told["name"] == told["npz_event"] == str(METADATA)
    assert told["best"] == pytest.approx([np.radians(best.ra_deg), np.radians(best.dec_deg), best.llh])
    assert told["filenames"] == [path.name for path in files]
    for back in (ScanResult.from_json(json.loads(Path(told["written"][0]).read_text())),
                 ScanResult.from_npz(told["written"][1])):
        assert back.metadata == METADATA
        assert (back.method, back.energy) == (scan.method, scan.energy)
        assert back.complete
        for nside, table in scan.pixels.items():
            assert back.pixels[nside].tobytes() == table.tobytes()


@pytest.mark.slow
def test_skyreader_plots_our_result_and_agrees_on_areas(
        scan: ScanResult, files: tuple[Path, Path], tmp_path: Path) -> None:
    printed = run_in_skyreader(PLOT, files[0], tmp_path)
    skymap = SkyMap.from_results(scan.pixels)
    for level in (0.5, 0.9):
        theirs = re.search(rf"Contour Area \({100 * level:.0f}%\): ([0-9.]+)", printed)
        assert theirs, printed
        ours = Posterior.of(skymap, level_set("wilks")).area(level)
        assert ours == pytest.approx(float(theirs[1]), rel=0.2)
    suffixes = {path.name.removeprefix(str(METADATA)).split(".", 1)[-1] for path in tmp_path.iterdir()}
    assert {"plot_zoomed_wilks.pdf", "contour_50.txt", "contour_90.txt"} <= suffixes, suffixes
    assert any(suffix.endswith("multiorder.fits.gz") for suffix in suffixes)
