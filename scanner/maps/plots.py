"""Pictures of a scan: the whole sky, and the surroundings of the best fit.

Both work on partial results, draw with figures of their own (safe in threads of a server) and write
PNG, PDF or SVG. Right ascension grows to the left. Colours show −2Δ ln L to the best pixel, in a scale
that colour-blind readers can tell apart, too. Text in PDF is embedded as TrueType, and in SVG it stays text,
so that journals take it and it can be searched.

Styles: ``screen`` says what the picture shows; ``publication`` leaves that to the caption, and has 300 dots
per inch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO, Literal

import matplotlib
import numpy as np
from astropy.visualization.wcsaxes import WCSAxes
from astropy.wcs import WCS
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import AsinhNorm, Colormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import FuncFormatter, NullLocator

from scanner.maps import healpix, mollweide, regions
from scanner.maps.level_sets import THREE_SIGMA, LevelSet, default_levels, level_set
from scanner.maps.posterior import Posterior
from scanner.maps.result import ScanResult
from scanner.maps.skymap import SkyMap

__all__ = ["STYLES", "plot_sky", "plot_zoom"]

matplotlib.rcParams["pdf.fonttype"] = matplotlib.rcParams["ps.fonttype"] = 42  # TrueType
matplotlib.rcParams["svg.fonttype"] = "none"
matplotlib.rcParams["svg.hashsalt"] = "iceprod"  # equal pictures are equal files

Direction = tuple[float, float]  # right ascension and declination in degrees
Reference = Direction | Mapping[str, Direction]

STYLES = {"screen": 130, "publication": 300}
"""Dots per inch of raster pictures by style."""

_LINES: dict[float, tuple[str, Literal["solid", "dashed", "dotted"], float]] = {
    0.5: ("50 %", "solid", 1.9), 0.9: ("90 %", "dashed", 1.6), THREE_SIGMA: ("3σ", "dotted", 1.3)}
_WHOLE_SKY = 116.0
_INK, _FAINT, _UNSCANNED = "#1b1b24", "#8a8a98", "#d9d9de"
_BEST, _TRUTH, _REFERENCES = "#e4002b", "#00a36c", ("#006bd6", "#b5179e", "#7a4b00", "#0f766e")
_GALACTIC_POLE, _GALACTIC_CENTRE = (192.859, 27.128), (266.405, -28.936)


def plot_sky(result: ScanResult, path: str | Path | BinaryIO, *, truth: Direction | None = None,
             reference: Reference | None = None, contours: bool = True, levels: str | None = None,
             file_format: str | None = None, style: str = "screen") -> None:
    """Draw the whole sky in Mollweide's projection, with the galactic plane and an inset of the best fit.

    ``truth`` and ``reference`` are directions in degrees to mark, the latter with names if given as a
    mapping. ``levels`` is that of the reconstruction unless another is named. ``file_format`` is needed where
    ``path`` has no suffix. EmptyMapError without any fit.
    """
    skymap = SkyMap.from_results(result.pixels)
    posterior = Posterior.of(skymap, level_set(levels) if levels else default_levels(result.method.reco))
    figure = Figure(figsize=(14.5, 7), facecolor="white")
    axes = figure.add_axes((0.015, 0.165, 0.73, 0.745))
    top = max(float(skymap.delta.max()), 1.0)
    norm = AsinhNorm(linear_width=top / 30, vmin=0.0, vmax=top)
    _paint_sky(axes, skymap, norm)
    _draw_graticule(axes)
    handles = [_draw_galactic_plane(axes)]
    if contours:
        handles += _draw_contours_on_sky(axes, posterior)
    for label, (ra, dec), colour, marker in _markers(skymap, truth, reference):
        x, y = mollweide.to_plane(ra % 360.0, dec)
        handles += _draw_marker(axes, float(x), float(y), label, colour, marker)
    _draw_inset(figure, skymap, posterior, contours=contours)
    _describe(figure, result, skymap, style)
    _draw_colorbar(figure, norm, (0.045, 0.11, 0.27, 0.022))
    _draw_legend(figure, handles, posterior.levels, (0.36, 0.155), columns=3)
    _save(figure, result, path, file_format, style)


def plot_zoom(result: ScanResult, path: str | Path | BinaryIO, *, truth: Direction | None = None,
              reference: Reference | None = None, contours: bool = True, levels: str | None = None,
              radius: float | None = None, file_format: str | None = None, style: str = "screen") -> None:
    """Draw the surroundings of the best fit in an equal-area projection.

    ``radius`` is half the picture's width in degrees; by default it takes in all regions of the set.
    The other arguments are those of ``plot_sky``.
    """
    skymap = SkyMap.from_results(result.pixels)
    posterior = Posterior.of(skymap, level_set(levels) if levels else default_levels(result.method.reco))
    radius = radius or _zoom_radius(skymap, posterior)
    size = 640
    wcs = _tangential(skymap, radius, size)
    figure = Figure(figsize=(8.2, 8.6), facecolor="white")
    axes = WCSAxes(figure, (0.13, 0.235, 0.82, 0.68), wcs=wcs)
    figure.add_axes(axes)
    norm = _paint_zoom(axes, skymap, wcs, size, posterior.levels.threshold(0.9))
    handles = _draw_contours_in_zoom(axes, posterior, wcs) if contours else []
    for label, (ra, dec), colour, marker in _markers(skymap, truth, reference):
        x, y = wcs.wcs_world2pix(ra, dec, 0)
        handles += _draw_marker(axes, float(x), float(y), label, colour, marker)
    _label_zoom(axes, size)
    _describe(figure, result, skymap, style)
    _draw_colorbar(figure, norm, (0.135, 0.12, 0.38, 0.018))
    _draw_legend(figure, handles, posterior.levels, (0.56, 0.155), columns=2)
    _save(figure, result, path, file_format, style)


def _save(figure: Figure, result: ScanResult, path: str | Path | BinaryIO, file_format: str | None,
          style: str) -> None:
    """Write a picture; formats that bear a date get that of the result."""
    dates = {"svg": {"Date": result.date.isoformat()}, "pdf": {"CreationDate": result.date}}
    kind = file_format or Path(str(path)).suffix[1:]
    figure.savefig(path, format=file_format, dpi=STYLES[style], metadata=dates.get(kind))


def _colours() -> Colormap:
    return colormaps["viridis_r"].with_extremes(bad=_UNSCANNED)


def _markers(skymap: SkyMap, truth: Direction | None,
             reference: Reference | None) -> list[tuple[str, Direction, str, str]]:
    """Label, direction, colour and symbol of each place to mark."""
    best = skymap.best_fit
    marks = []
    if truth is not None:
        marks.append(("truth", truth, _TRUTH, "*"))
    if isinstance(reference, Mapping):
        named = dict(reference)
    else:
        named = {} if reference is None else {"reference": reference}
    for i, (label, direction) in enumerate(named.items()):
        marks.append((label, direction, _REFERENCES[i % len(_REFERENCES)], "x"))
    return [*marks, ("best fit", (best.ra_deg, best.dec_deg), _BEST, "+")]


def _draw_marker(axes: Axes, x: float, y: float, label: str, colour: str, marker: str) -> list[Line2D]:
    """A symbol with a white rim, and its handle for the legend."""
    if not (np.isfinite(x) and np.isfinite(y)):
        return []
    axes.plot([x], [y], marker, color="white", markersize=15, markeredgewidth=4.5, zorder=8)
    return axes.plot([x], [y], marker, color=colour, markersize=13, markeredgewidth=2.2, zorder=9,
                     label=label)


# The whole sky


def _paint_sky(axes: Axes, skymap: SkyMap, norm: AsinhNorm) -> None:
    width, height = 1400, 700
    x = (np.arange(width) + 0.5) / width * 2 - 1
    y = (np.arange(height) + 0.5) / height * 2 - 1
    ra, dec = mollweide.from_plane(x[None, :] * mollweide.WIDTH, y[:, None] * mollweide.HEIGHT)
    shown = np.isfinite(ra)
    image = np.full(ra.shape, np.nan)
    image[shown] = skymap.delta_at(ra[shown], dec[shown])
    extent = (-mollweide.WIDTH, mollweide.WIDTH, -mollweide.HEIGHT, mollweide.HEIGHT)
    picture = axes.imshow(image, origin="lower", extent=extent, cmap=_colours(), norm=norm,
                          interpolation="nearest")
    rim = Ellipse((0, 0), 2 * mollweide.WIDTH, 2 * mollweide.HEIGHT, facecolor="none", edgecolor=_INK)
    axes.add_patch(rim)
    picture.set_clip_path(rim)
    axes.set_xlim(-mollweide.WIDTH * 1.05, mollweide.WIDTH * 1.05)
    axes.set_ylim(-mollweide.HEIGHT * 1.06, mollweide.HEIGHT * 1.06)
    axes.set_axis_off()


def _draw_graticule(axes: Axes) -> None:
    along = np.linspace(-90, 90, 91)
    for ra in range(30, 360, 30):
        axes.plot(*mollweide.to_plane(np.full(91, ra), along), color="white", linewidth=0.6, alpha=0.5)
    for dec in range(-60, 90, 30):
        axes.plot(*mollweide.to_plane([0, 360], [dec, dec]), color="white", linewidth=0.6, alpha=0.5)
        x, y = map(float, mollweide.to_plane(360, dec))
        axes.text(x - 0.05, y, _signed(dec), ha="right", va="center", fontsize=9, color=_INK)
    for ra in range(60, 360, 60):
        x, y = map(float, mollweide.to_plane(ra, 0))
        text = axes.text(x, y + 0.03, f"{ra}°", ha="center", va="bottom", fontsize=9, color="white")
        text.set_path_effects([Stroke(linewidth=2.2, foreground=_INK), Normal()])
    edge = mollweide.WIDTH * 1.01
    axes.text(edge, 0, "RA 0°", ha="left", va="center", fontsize=9, color=_INK, rotation=270)


def _draw_galactic_plane(axes: Axes) -> Line2D:
    ra, dec = _great_circle(*_GALACTIC_POLE)
    x, y = mollweide.to_plane(*mollweide.cut_at_seam(ra, dec))
    axes.plot(x, y, "-.", color="white", linewidth=1.1, alpha=0.9)
    axes.plot(*mollweide.to_plane(*_GALACTIC_CENTRE), "o", color="white", markersize=3.5)
    return Line2D([], [], color=_FAINT, linewidth=1.1, linestyle="-.", marker="o", markersize=3.5,
                  label="galactic plane, centre")


def _great_circle(pole_ra: float, pole_dec: float) -> tuple[np.ndarray, np.ndarray]:
    """The circle 90° from a pole, in degrees."""
    pole = healpix.unit_vectors(pole_ra, pole_dec)
    first = np.cross(pole, [0.0, 0.0, 1.0])
    first /= np.linalg.norm(first)
    turn = np.linspace(0, 2 * np.pi, 361)[:, None]
    x, y, z = (np.cos(turn) * first + np.sin(turn) * np.cross(pole, first)).T
    return np.degrees(np.arctan2(y, x)) % 360.0, np.degrees(np.arcsin(z))


def _draw_contours_on_sky(axes: Axes, posterior: Posterior) -> list[Line2D]:
    handles = []
    for level in posterior.levels.thresholds:
        _, dash, width = _LINES[level]
        for ring in regions.contours(posterior, level):
            x, y = mollweide.to_plane(*mollweide.cut_at_seam(*ring.T))
            axes.plot(x, y, color="white", linewidth=0.7 * width + 1.2, alpha=0.8, zorder=5)
            axes.plot(x, y, color=_INK, linewidth=0.7 * width, linestyle=dash, zorder=6)
        handles.append(_contour_handle(posterior, level))
    return handles


def _contour_handle(posterior: Posterior, level: float) -> Line2D:
    label, dash, width = _LINES[level]
    size = _squared_degrees(posterior.area(level)) + "".join(f"\n{text}" for text in posterior.limits(level))
    return Line2D([], [], color=_INK, linestyle=dash, linewidth=width, label=f"{label}: {size}")


def _draw_inset(figure: Figure, skymap: SkyMap, posterior: Posterior, *, contours: bool) -> None:
    """The surroundings of the best fit beside the whole sky, where a region is too small to be seen."""
    radius, size = _zoom_radius(skymap, posterior), 320
    wcs = _tangential(skymap, radius, size)
    axes = WCSAxes(figure, (0.795, 0.4, 0.19, 0.19 * 14.5 / 7), wcs=wcs)
    figure.add_axes(axes)
    _paint_zoom(axes, skymap, wcs, size, posterior.levels.threshold(0.9))
    if contours:
        _draw_contours_in_zoom(axes, posterior, wcs)
    best = skymap.best_fit
    x, y = wcs.wcs_world2pix(best.ra_deg, best.dec_deg, 0)
    _draw_marker(axes, float(x), float(y), "best fit", _BEST, "+")
    _label_zoom(axes, size)
    for coordinate in axes.coords:
        coordinate.set_axislabel("")
        coordinate.set_ticks(number=3)
        coordinate.set_ticklabel(size=8)
    axes.set_title(f"best fit ± {radius:.3g}°", fontsize=10, color=_INK)


# Around the best fit


def _zoom_radius(skymap: SkyMap, posterior: Posterior) -> float:
    """A little more than the extent of the largest region, at least some pixels, at most all the sky."""
    best = healpix.unit_vectors(skymap.best_fit.ra_deg, skymap.best_fit.dec_deg)
    pixel = np.sqrt(skymap.area.min())
    rings = regions.contours(posterior, max(posterior.levels.thresholds))
    points = np.concatenate([healpix.unit_vectors(*ring.T) for ring in rings]) if rings else -best[None]
    away = np.degrees(2 * np.arcsin(np.clip(np.linalg.norm(points - best, axis=1) / 2, 0, 1)))
    return float(np.clip(1.35 * away.max(), 8 * pixel, _WHOLE_SKY))


def _tangential(skymap: SkyMap, radius: float, size: int) -> WCS:
    """A square of Lambert's azimuthal equal-area projection around the best fit.

    In it nothing lies farther out than its angle to the best fit, and the antipode at 114.6°.
    """
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---ZEA", "DEC--ZEA"]
    wcs.wcs.crval = [skymap.best_fit.ra_deg, skymap.best_fit.dec_deg]
    wcs.wcs.crpix = [(size + 1) / 2, (size + 1) / 2]
    wcs.wcs.cdelt = [-2 * radius / size, 2 * radius / size]
    wcs.wcs.cunit = ["deg", "deg"]
    return wcs


def _paint_zoom(axes: WCSAxes, skymap: SkyMap, wcs: WCS, size: int, threshold: float) -> AsinhNorm:
    """Paint the map, even in colour up to about the 90 % threshold, and return the scale of colours."""
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    ra, dec = wcs.wcs_pix2world(x.ravel(), y.ravel(), 0)
    flat = np.full(size * size, np.nan)
    shown = np.isfinite(ra)  # a wide frame has corners beyond the sky
    flat[shown] = skymap.delta_at(ra[shown], dec[shown])
    image = flat.reshape(size, size)
    top = float(np.clip(np.nanmax(image), 4 * threshold, 200 * threshold))
    norm = AsinhNorm(2 * threshold, 0.0, top)
    seen = shown.reshape(size, size).astype(float)
    axes.imshow(image, origin="lower", cmap=_colours(), norm=norm, interpolation="nearest", alpha=seen)
    return norm


def _draw_contours_in_zoom(axes: WCSAxes, posterior: Posterior, wcs: WCS) -> list[Line2D]:
    handles = []
    for level in posterior.levels.thresholds:
        _, dash, width = _LINES[level]
        for ring in regions.contours(posterior, level):
            x, y = wcs.wcs_world2pix(*ring.T, 0)
            axes.plot(x, y, color="white", linewidth=width + 1.6, alpha=0.8, zorder=5)
            axes.plot(x, y, color=_INK, linewidth=width, linestyle=dash, zorder=6)
        handles.append(_contour_handle(posterior, level))
    return handles


def _label_zoom(axes: WCSAxes, size: int) -> None:
    axes.set_xlim(-0.5, size - 0.5)
    axes.set_ylim(-0.5, size - 0.5)
    for coordinate, name in zip(axes.coords, ("Right ascension (ICRS)", "Declination (ICRS)"), strict=True):
        coordinate.set_format_unit("deg", decimal=True)
        coordinate.set_axislabel(name, fontsize=11)
        coordinate.set_ticks(number=6)
        coordinate.set_ticklabel(size=10)
    axes.coords.grid(color="white", alpha=0.5, linewidth=0.6)


# Both


def _draw_colorbar(figure: Figure, norm: AsinhNorm, place: tuple[float, float, float, float]) -> None:
    mappable = ScalarMappable(norm, _colours())
    bar = figure.colorbar(mappable, cax=figure.add_axes(place), orientation="horizontal")
    bar.set_label("−2Δ ln L", fontsize=11)
    bar.set_ticks(_ticks(norm))
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    bar.ax.xaxis.set_minor_locator(NullLocator())
    bar.ax.tick_params(labelsize=9)


def _draw_legend(figure: Figure, handles: list[Line2D], levels: LevelSet, place: tuple[float, float],
                 columns: int) -> None:
    title = f"Regions by {levels}"
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=place, fontsize=10, frameon=False,
                  ncols=columns, title=title, title_fontsize=10, alignment="left")


def _describe(figure: Figure, result: ScanResult, skymap: SkyMap, style: str) -> None:
    """Which event this is, and what was found; in a publication the caption says it."""
    if style == "publication":
        return
    headline = figure.text(0.5, 0.965, _headline(result), ha="center", va="center", color=_INK, fontsize=14)
    headline.set_fontweight("bold")
    figure.text(0.5, 0.930, _subline(result, skymap), ha="center", va="center", color=_INK, fontsize=10.5)
    if result.energy:
        figure.text(0.5, 0.025, str(result.energy), ha="center", va="center", color=_INK, fontsize=9)


def _ticks(norm: AsinhNorm) -> list[float]:
    """Round numbers that lie clear of each other on the colour bar."""
    top = float(norm.vmax or 1.0)
    decades = 10.0 ** np.arange(np.floor(np.log10(top)) - 2, np.ceil(np.log10(top)) + 1)
    chosen = [0.0]
    for tick in np.outer(decades, [1, 2, 5]).ravel():
        if tick <= top and float(norm(tick)) - float(norm(chosen[-1])) > 0.11:
            chosen.append(float(tick))
    return chosen


def _headline(result: ScanResult) -> str:
    metadata = result.metadata
    parts = [f"Run {metadata.run_id}", f"Event {metadata.event_id}"]
    if metadata.event_type:
        parts.append(metadata.event_type)
    return "  ·  ".join(parts)


def _subline(result: ScanResult, skymap: SkyMap) -> str:
    best = skymap.best_fit
    parts = [f"best fit RA {best.ra_deg:.2f}°, Dec {_signed(best.dec_deg, 2)}"]
    if result.metadata.is_real_event and result.metadata.time:
        parts.append(result.metadata.time.strftime("%Y-%m-%d %H:%M:%S UTC"))
    parts.append("nside " + ", ".join(map(str, result.nsides)))
    if str(result.method):
        parts.append(str(result.method))
    if not result.complete:
        parts.append("partial result")
    return "  ·  ".join(parts)


def _signed(degrees: float, digits: int = 0) -> str:
    """Degrees with a sign that is a minus, not a hyphen."""
    return f"{degrees:+.{digits}f}°".replace("-", "−") if degrees else "0°"


def _squared_degrees(value: float) -> str:
    return f"{value:.3g} deg²" if value < 1000 else f"{value:.0f} deg²"
