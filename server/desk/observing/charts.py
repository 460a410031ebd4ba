"""Drawing a finding chart: the sky around a target, with offset stars and a star list for the observatory.

Draws on Figure objects alone (no pyplot), so that it can run in a thread.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from astropy import units
from astropy.coordinates import SkyCoord

from scanner.common.loading import LOADING
from server.desk.common.fits_files import FitsError, open_fits
from server.desk.common.positions import hpix29_many
from server.desk.maps.tiles import Tiles

if TYPE_CHECKING:
    from astropy.visualization.wcsaxes import WCSAxes
    from astropy.wcs import WCS

__all__ = ["FACILITIES", "Chart", "Facility", "Image", "OffsetStar", "chart_of_map", "draw", "offset_stars",
           "read_image", "star_list"]

MOST_SIDE = 4000  # pixels of an image
MAP_SIDE = 300
LEVELS = (0.5, 0.9)


@dataclass(frozen=True)
class Facility:
    """How far from the target an offset star may be (arcminutes), and how faint (magnitudes)."""

    radius: float
    faintest: float


FACILITIES = {"Keck": Facility(2.0, 18.5), "P200": Facility(2.0, 18.0), "Shane": Facility(2.5, 17.0)}
_BRIGHTEST = 11.0  # brighter ones blind the guider
_LEAST_APART = 3.0  # arcseconds, from the target and from other stars


class ImageError(ValueError):
    """An image that cannot be drawn; the text says why."""


@dataclass(frozen=True)
class Image:
    """Pixels (y, x) with their sky coordinates."""

    pixels: np.ndarray
    wcs: WCS
    title: str
    levels: np.ndarray | None = None  # credible level of each pixel, of a sky map


@dataclass(frozen=True)
class OffsetStar:
    """A star to begin at, and the way from it to the target in arcseconds to the east and north."""

    name: str
    ra: float
    dec: float
    mag: float
    east: float
    north: float


@dataclass(frozen=True)
class Chart:
    """All that a chart shows; degrees."""

    name: str
    ra: float
    dec: float
    facility: str
    obstime: datetime
    image: Image
    stars: Sequence[OffsetStar] = ()


# -- what is shown


def read_image(data: bytes, title: str) -> Image:
    """The first image of a FITS file. Raises ImageError."""
    with LOADING:
        from astropy.wcs import WCS, FITSFixedWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            with open_fits(data) as files:
                unit = next((unit for unit in files if getattr(unit, "data", None) is not None), None)
                if unit is None or unit.data.dtype.names:
                    raise ImageError("there is no image in the FITS file")
                pixels = np.asarray(unit.data, dtype=float)
                while pixels.ndim > 2:
                    pixels = pixels[0]
                wcs = WCS(unit.header).celestial
    except FitsError as error:
        raise ImageError(f"not a FITS image: {error}") from None
    if pixels.ndim != 2 or not 2 <= min(pixels.shape) <= max(pixels.shape) <= MOST_SIDE or wcs.naxis != 2:
        raise ImageError(f"an image has two axes of 2 to {MOST_SIDE} pixels with sky coordinates")
    return Image(pixels, wcs, title)


def chart_of_map(tiles: Tiles, ra: float, dec: float, size: float, title: str) -> Image:
    """A cut-out of a sky map, `size` degrees wide: probability density per square degree."""
    with LOADING:
        from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [ra, dec]
    wcs.wcs.crpix = [(MAP_SIDE + 1) / 2, (MAP_SIDE + 1) / 2]
    wcs.wcs.cdelt = [-size / MAP_SIDE, size / MAP_SIDE]
    y, x = np.mgrid[:MAP_SIDE, :MAP_SIDE]
    places = wcs.pixel_to_world_values(x, y)
    deep = hpix29_many(places[0] % 360.0, np.clip(places[1], -90, 90))
    row = tiles.rows_at(deep)
    density = np.where(row >= 0, tiles.density[row], 0.0) * np.radians(1.0) ** 2
    return Image(density, wcs, title, tiles.level_at(deep))


def offset_stars(target: SkyCoord, rows: Sequence[dict[str, Any]], facility: Facility, count: int
                 ) -> list[OffsetStar]:
    """The stars nearest to the target that this facility can begin at, alone in their surroundings."""
    if not rows or not count:
        return []
    places = SkyCoord([row["ra"] for row in rows] * units.deg, [row["dec"] for row in rows] * units.deg)
    apart = target.separation(places)
    chosen: list[OffsetStar] = []
    for index in np.argsort(apart.deg):
        mag = rows[index].get("phot_g_mean_mag")
        if mag is None or not _BRIGHTEST <= mag <= facility.faintest:
            continue
        if apart[index].arcmin > facility.radius or not _is_alone(places, int(index), apart[index].arcsec):
            continue
        east, north = places[index].spherical_offsets_to(target)
        chosen.append(OffsetStar(f"offset{len(chosen) + 1}", float(places[index].ra.deg),
                                 float(places[index].dec.deg), float(mag), east.arcsec, north.arcsec))
        if len(chosen) == count:
            break
    return chosen


def _is_alone(places: SkyCoord, index: int, from_target: float) -> bool:
    others = places[index].separation(places).arcsec
    others[index] = math.inf
    return bool(from_target > _LEAST_APART and others.min() > _LEAST_APART)


def star_list(chart: Chart) -> list[str]:
    """Target and offset stars, one a line, as the facility's telescope control reads them."""
    rows = [(chart.name, chart.ra, chart.dec, "")]
    rows += [(star.name, star.ra, star.dec,
              f"G={star.mag:.2f} to target {star.east:+.2f}\"E {star.north:+.2f}\"N") for star in chart.stars]
    return [_line(chart.facility, *row) for row in rows]


def _line(facility: str, name: str, ra: float, dec: float, note: str) -> str:
    place = SkyCoord(ra * units.deg, dec * units.deg)
    sign = {"Keck": " ", "P200": ":", "Shane": " "}[facility]
    hours = place.ra.to_string(unit="hourangle", sep=sign, precision=2, pad=True)
    degrees = place.dec.to_string(unit="deg", sep=sign, precision=1, pad=True, alwayssign=True)
    width, comment = (16, "#") if facility == "Keck" else (20, "!")
    line = f"{name[:width - 1]:<{width}}{hours} {degrees} 2000.0"
    return f"{line} {comment} {note}" if note else line


# -- drawing


def draw(chart: Chart, kind: str) -> bytes:
    """The chart as ``png`` or ``pdf``."""
    with LOADING:
        from astropy.visualization.wcsaxes import WCSAxes  # with matplotlib it takes a second to load
        from matplotlib.figure import Figure

    figure = Figure(figsize=(8.5, 11), dpi=110)
    axes = WCSAxes(figure, (0.13, 0.36, 0.78, 0.56), wcs=chart.image.wcs)
    figure.add_axes(axes)
    _draw_image(axes, chart.image)
    _mark(axes, chart)
    figure.text(0.5, 0.955, f"{chart.name}   {chart.ra:.6f}  {chart.dec:+.6f}", ha="center", size=13,
                parse_math=False)
    figure.text(0.5, 0.935, f"{chart.image.title}   {chart.obstime:%Y-%m-%d %H:%M} UTC   {chart.facility}",
                ha="center", size=9, parse_math=False)
    for number, line in enumerate(star_list(chart)):
        figure.text(0.06, 0.27 - 0.022 * number, line, family="monospace", size=8, parse_math=False)
    file = io.BytesIO()
    figure.savefig(file, format=kind)
    return file.getvalue()


def _draw_image(axes: WCSAxes, image: Image) -> None:
    with LOADING:
        from astropy.visualization import ZScaleInterval

    finite = image.pixels[np.isfinite(image.pixels)]
    low, high = (0.0, 1.0) if not len(finite) else (float(finite.min()), float(finite.max()))
    if image.levels is None and len(finite):
        low, high = ZScaleInterval().get_limits(finite)
    axes.imshow(image.pixels, origin="lower", cmap="gray_r", vmin=low, vmax=high if high > low else low + 1)
    if image.levels is not None and image.levels.min() < LEVELS[-1] <= image.levels.max():
        axes.contour(image.levels, levels=LEVELS, colors=["tab:red", "tab:blue"], linewidths=1)
    axes.set_xlim(-0.5, image.pixels.shape[1] - 0.5)
    axes.set_ylim(-0.5, image.pixels.shape[0] - 0.5)
    axes.coords[0].set_axislabel("RA (ICRS)")
    axes.coords[1].set_axislabel("Dec (ICRS)")


def _mark(axes: WCSAxes, chart: Chart) -> None:
    """A reticle at the target, a circle around each star."""
    with LOADING:
        from matplotlib.patches import Circle

    width = max(chart.image.pixels.shape)
    x, y = (float(value) for value in chart.image.wcs.world_to_pixel_values(chart.ra, chart.dec))
    gap, arm = 0.015 * width, 0.05 * width
    axes.plot([x + gap, x + gap + arm], [y, y], color="tab:red", linewidth=1.5)
    axes.plot([x, x], [y + gap, y + gap + arm], color="tab:red", linewidth=1.5)
    for star in chart.stars:
        at = [float(value) for value in chart.image.wcs.world_to_pixel_values(star.ra, star.dec)]
        axes.add_patch(Circle((at[0], at[1]), 0.018 * width, fill=False, color="tab:blue"))
        axes.text(at[0] + 0.025 * width, at[1], star.name.removeprefix("offset"), color="tab:blue")
