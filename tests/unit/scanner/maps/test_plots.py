"""Plots: the right file comes out, and its pixels show what the map says."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib import colormaps, image

from scanner.maps import healpix, plots, regions
from scanner.maps.level_sets import LEVEL_SETS
from scanner.maps.plots import plot_sky, plot_zoom
from scanner.maps.posterior import Posterior
from scanner.maps.result import ScanMetadata, ScanResult, nan_rows
from scanner.maps.skymap import EmptyMapError, SkyMap

METADATA = ScanMetadata(136766, 7637140, "neutrino", 59723.25, is_real_event=True)
UNSCANNED = (0xD9, 0xD9, 0xDE)


def scan(pixels: int = 768, complete: bool = True) -> ScanResult:
    """A smooth map at nside 8 with a finer patch around pixel 200."""
    coarse = nan_rows(np.arange(pixels))
    coarse["llh"] = 500 + np.abs(coarse["index"] - 200.0)
    fine = nan_rows(np.arange(25000, 25600))
    fine["llh"] = 490 + np.abs(fine["index"] - 25300) / 10
    return ScanResult({8: coarse, 64: fine}, METADATA, complete)


def colours_of(png: bytes) -> np.ndarray:
    picture = image.imread(io.BytesIO(png), format="png")
    return np.round(picture[..., :3].reshape(-1, 3) * 255).astype(int)


def drawn(draw: object, result: ScanResult, **options: object) -> bytes:
    file = io.BytesIO()
    draw(result, file, file_format="png", **options)  # type: ignore[operator]
    return file.getvalue()


def share(colours: np.ndarray, colour: tuple[int, int, int], tolerance: int = 2) -> float:
    return float((np.abs(colours - colour).max(axis=1) <= tolerance).mean())


@pytest.mark.parametrize("draw", [plot_sky, plot_zoom])
@pytest.mark.parametrize(("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_every_format_is_written(draw: object, suffix: str, magic: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"scan.{suffix}"
    draw(scan(), path, truth=(10.0, 20.0), reference={"SplineMPE": (224.4, -40.7)})  # type: ignore[operator]
    assert path.read_bytes().startswith(magic)


def test_svg_says_what_it_shows(tmp_path: Path) -> None:
    path = tmp_path / "sky.svg"
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        plot_sky(scan(complete=False), path, truth=(1, 2), reference=(3, 4), levels="ic160427a")
    text = path.read_text()
    for part in ("Run 136766", "Event 7637140", "neutrino", "2022-05-24 06:00:00 UTC", "nside 8, 64",
                 "partial result", "Regions by ic160427a", "−2Δ ln L", "best fit", "truth", "reference",
                 "50 %", "90 %", "deg²"):
        assert part in text, part


def test_unscanned_sky_is_grey_and_only_there() -> None:
    whole = share(colours_of(drawn(plot_sky, scan())), UNSCANNED)
    partial = share(colours_of(drawn(plot_sky, scan(400))), UNSCANNED)
    assert whole < 0.001
    assert partial > 0.15


def test_a_coarse_level_alone_is_drawn() -> None:
    result = ScanResult({1: scan().pixels[8][:12]}, METADATA)
    for draw in (plot_sky, plot_zoom):
        assert len(np.unique(colours_of(drawn(draw, result)) @ [65536, 256, 1])) > 50


def test_zoom_shows_the_best_pixel_in_the_middle() -> None:
    result = ScanResult({16: _bowl(nan_rows(np.arange(12 * 16**2)), (45.0, 4.8))})
    picture = image.imread(io.BytesIO(drawn(plot_zoom, result, contours=False)), format="png")
    height, width, _ = picture.shape
    row, column = int(height * 0.425), int(width * 0.54)
    # Just above the marker and inside the best pixel: the colour of zero. Far away: another one.
    assert picture[row - 18, column, :3] == pytest.approx(colormaps["viridis_r"](0.0)[:3], abs=0.02)
    assert picture[row - 250, column + 7, :3] != pytest.approx(colormaps["viridis_r"](0.0)[:3], abs=0.3)


def test_contours_can_be_left_out() -> None:
    ink = (0x1B, 0x1B, 0x24)
    with_them = share(colours_of(drawn(plot_sky, scan())), ink, 10)
    without = share(colours_of(drawn(plot_sky, scan(), contours=False)), ink, 10)
    assert 0 < 2 * without < with_them


@pytest.mark.parametrize("draw", [plot_sky, plot_zoom])
def test_nothing_to_draw_is_said(draw: object) -> None:
    with pytest.raises(EmptyMapError, match="no pixel"):
        draw(ScanResult({8: nan_rows(np.arange(768))}, METADATA), io.BytesIO())  # type: ignore[operator]


@pytest.mark.parametrize("place", [(0.05, 0.0), (359.95, -35.0), (120.0, 89.99), (45.0, -89.99)])
def test_poles_and_seam_are_drawn(place: tuple[float, float]) -> None:
    table = nan_rows(np.arange(12 * 16**2))
    skymap = SkyMap.from_results({16: _bowl(table, place)})
    assert np.hypot(skymap.best_fit.dec_deg - place[1], 0) < 6
    result = ScanResult({16: table}, ScanMetadata())
    for draw in (plot_sky, plot_zoom):
        assert drawn(draw, result).startswith(b"\x89PNG")


def _bowl(table: np.ndarray, place: tuple[float, float]) -> np.ndarray:
    centre = healpix.unit_vectors(*place)
    table["llh"] = 500 * np.square(healpix.vectors(16, table["index"]) - centre).sum(axis=1)
    return table


@pytest.mark.parametrize("draw", [plot_sky, plot_zoom])
def test_a_publication_has_more_dots_and_no_title(draw: object) -> None:
    screen, printed = (image.imread(io.BytesIO(drawn(draw, scan(), style=style)), format="png")
                       for style in ("screen", "publication"))
    assert printed.shape[1] == pytest.approx(screen.shape[1] * 300 / 130, abs=3)
    assert (printed[:len(printed) // 25, :, :3] == 1).all()
    assert not (screen[:len(screen) // 25, :, :3] == 1).all()


@pytest.mark.parametrize("draw", [plot_sky, plot_zoom])
def test_text_is_embedded_as_truetype(draw: object, tmp_path: Path) -> None:
    draw(scan(), tmp_path / "map.pdf")  # type: ignore[operator]
    pdf = (tmp_path / "map.pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    draw(scan(), tmp_path / "map.svg")  # type: ignore[operator]
    assert ">best fit" in (tmp_path / "map.svg").read_text()


@pytest.mark.parametrize(("place", "width"), [
    ((10.0, 89.5), 3.0), ((200.0, -89.9), 0.2), ((0.1, 0.0), 3.0), ((123.0, 45.0), 0.002)])
def test_every_contour_lies_inside_the_frame(place: tuple[float, float], width: float) -> None:
    """From regions of a pixel to nearly all the sky, by the narrowest and the widest level set."""
    table = _bowl(nan_rows(np.arange(12 * 16**2)), place)
    table["llh"] /= 50 * width
    skymap = SkyMap.from_results({16: table})
    by_limit = sorted(LEVEL_SETS.values(), key=lambda one: max(one.thresholds.values()))
    for one in (by_limit[0], by_limit[-1]):
        posterior = Posterior.of(skymap, one)
        wcs = plots._tangential(skymap, plots._zoom_radius(skymap, posterior), 640)
        for level in one.thresholds:
            for ring in regions.contours(posterior, level):
                x, y = wcs.wcs_world2pix(*ring.T, 0)
                assert x.min() >= -0.5
                assert y.min() >= -0.5
                assert max(x.max(), y.max()) <= 639.5


def test_pyplot_is_never_loaded() -> None:
    code = "import scanner.maps.plots, sys; sys.exit('matplotlib.pyplot' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[4], check=False)
    assert done.returncode == 0
