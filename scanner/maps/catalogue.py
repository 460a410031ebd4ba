"""All files that can be made of a scan, by name: which there are, what each is, and how it is made.

A name says what a file holds, by which level set, and in which format, such as ``moc_90.ic160427a.json``;
the files for skyreader know no level sets. Listing costs nothing: what draws is loaded when it is used.
"""

from __future__ import annotations

import difflib
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from scanner.common.loading import LOADING
from scanner.maps.level_sets import LEVEL_SETS, LevelSet
from scanner.maps.result import ScanResult

__all__ = ["CATALOGUE", "FORMATS", "PICTURE_STYLES", "PURPOSES", "Marks", "Product", "UnknownProduct",
           "find_product", "products_for"]

_FITS, _JSON, _TEXT = "application/fits", "application/json", "text/plain; charset=utf-8"
_PICTURES = {"png": "image/png", "pdf": "application/pdf", "svg": "image/svg+xml"}
_MOC_LEVELS = (0.5, 0.9)
PICTURE_STYLES = ("screen", "publication")
"""As `scanner.maps.plots.STYLES`, which takes long to load."""


PURPOSES = {"publish": "To publish", "read": "To read on", "plot": "To plot"}
"""What files are for, and what lists of them are called."""


@dataclass(frozen=True)
class Marks:
    """Directions that a picture shows beside the best fit, in degrees; the legend has their names."""

    truth: tuple[float, float] | None = None
    others: Mapping[str, tuple[float, float]] = field(default_factory=dict)


class UnknownProduct(ValueError):
    """No product has this name."""

    def __init__(self, name: str) -> None:
        near = difflib.get_close_matches(name[:100], CATALOGUE, n=1, cutoff=0.0)[0]
        super().__init__(f"there is no product {name[:100]!r}; did you mean {near!r}?")


@dataclass(frozen=True)
class Product:
    """One kind of file."""

    name: str
    form: str  # what ``--format`` calls it
    media_type: str
    levels: str | None  # level set; None where none matters
    description: str
    make: Callable[[ScanResult], bytes]
    """Raises EmptyMapError while no fit is finite, LevelSetError if the level set does not fit the map."""
    draw: Callable[[ScanResult, str, Marks], bytes] | None = None
    """Of a picture: makes it in a style of ``PICTURE_STYLES``, with marks; raises as `make` does."""
    purpose: str = "read"  # one of PURPOSES

    def file_name(self, result: ScanResult) -> str:
        """What a file of it is called: event and nsides, then the product."""
        return f"{result.file_name('x').removesuffix('.x')}.{self.name}"


def find_product(name: str) -> Product:
    """The product of a name; UnknownProduct suggests the nearest."""
    if name not in CATALOGUE:
        raise UnknownProduct(name)
    return CATALOGUE[name]


def _skyreader() -> Iterator[Product]:
    yield Product("result.json", "json", _JSON, None, "result as icecube-skyreader reads it", _result_json)
    yield Product("result.npz", "npz", "application/octet-stream", None,
                  "result as icecube-skyreader reads it, binary", _result_npz)


def products_for(reco: str) -> list[Product]:
    """The products of maps of a reconstruction: all but those of level sets that hold for another."""
    return [product for product in CATALOGUE.values()
            if product.levels is None or LEVEL_SETS[product.levels].fits(reco)]


def _of_level_set(levels: LevelSet) -> Iterator[Product]:
    name = levels.name
    for stem, form, suffix, media, what, make, purpose in (
            ("multiorder", "fits", "fits", _FITS, "sky map as multi-order FITS", _multiorder, "publish"),
            ("flat", "flat", "fits", _FITS, "sky map as flat FITS of one nside", _flat, "read"),
            ("contours", "contours", "json", _JSON, "outlines and areas", _contours, "plot"),
            ("contours", "geojson", "geojson", "application/geo+json", "outlines as GeoJSON", _geojson,
             "plot"),
            ("gcn", "gcn", "json", _JSON, "position in the terms of GCN's notices", _gcn, "publish"),
            ("summary", "summary", "json", _JSON, "best fit, areas, energy, pixels", _summary, "read")):
        yield Product(f"{stem}.{name}.{suffix}", form, media, name, what, _with_levels(make, name),
                      purpose=purpose)
    for level in levels.thresholds:
        percent = f"{100 * level:g}"
        text = _with_levels(_contour_text, name, level)
        yield Product(f"contour_{percent}.{name}.txt", "contours", _TEXT, name,
                      f"outline of the {percent} % region, RA and Dec in degrees", text, purpose="plot")
        if level in _MOC_LEVELS:
            yield Product(f"moc_{percent}.{name}.json", "moc", _JSON, name,
                              f"{percent} % region as MOC in JSON", _with_levels(_moc, name, level))
            yield Product(f"moc_{percent}.{name}.fits", "moc", _FITS, name,
                          f"{percent} % region as MOC in FITS", _with_levels(_moc_fits, name, level),
                          purpose="publish")
    for view, what in (("sky", "the whole sky"), ("zoom", "surroundings of the best fit")):
        for form, media in _PICTURES.items():
            yield Product(f"{view}.{name}.{form}", form, media, name, f"picture: {what}",
                          _with_levels(_picture, name, view, form, "screen", Marks()),
                          _with_style(name, view, form), "plot")


def _with_levels(make: Callable[..., bytes], *arguments: Any) -> Callable[[ScanResult], bytes]:
    def checked(result: ScanResult) -> bytes:
        LEVEL_SETS[arguments[0]].check_fits(result.method.reco)
        return make(result, *arguments)

    return checked


def _with_style(levels: str, view: str, form: str) -> Callable[[ScanResult, str, Marks], bytes]:
    return lambda result, style, marks: _with_levels(_picture, levels, view, form, style, marks)(result)


# -- how each is made


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, allow_nan=False).encode()


def _result_json(result: ScanResult) -> bytes:
    return _json(result.to_json())


def _result_npz(result: ScanResult) -> bytes:
    file = io.BytesIO()
    result.to_npz(file)
    return file.getvalue()


def _multiorder(result: ScanResult, levels: str) -> bytes:
    from scanner.maps import products

    return products.multiorder_fits(result, levels)


def _flat(result: ScanResult, levels: str) -> bytes:
    from scanner.maps import products

    return products.flat_fits(result, levels=levels)


def _contours(result: ScanResult, levels: str) -> bytes:
    from scanner.maps import products

    return _json(products.contour_json(result, levels))


def _geojson(result: ScanResult, levels: str) -> bytes:
    from scanner.maps import products

    return _json(products.contour_geojson(result, levels))


def _gcn(result: ScanResult, levels: str) -> bytes:
    from scanner.maps import products

    return _json(products.gcn_json(result, levels))


def _summary(result: ScanResult, levels: str) -> bytes:
    from scanner.maps import products

    return _json(products.summary(result, levels))


def _contour_text(result: ScanResult, levels: str, level: float) -> bytes:
    from scanner.maps import products

    return products.contour_text(result, level, levels).encode()


def _moc(result: ScanResult, levels: str, level: float) -> bytes:
    from scanner.maps import products

    return _json(products.moc(result, level, levels))


def _moc_fits(result: ScanResult, levels: str, level: float) -> bytes:
    from scanner.maps import products

    return products.moc_fits(result, level, levels)


def _picture(result: ScanResult, levels: str, view: str, form: str, style: str, marks: Marks) -> bytes:
    with LOADING:
        from scanner.maps.plots import plot_sky, plot_zoom  # matplotlib takes a second to load

    file = io.BytesIO()
    draw = plot_sky if view == "sky" else plot_zoom
    draw(result, file, levels=levels, file_format=form, style=style, truth=marks.truth,
         reference=marks.others)
    return file.getvalue()


CATALOGUE: Mapping[str, Product] = MappingProxyType({
    product.name: product
    for group in (_skyreader(), *map(_of_level_set, LEVEL_SETS.values())) for product in group})
FORMATS = tuple(dict.fromkeys(product.form for product in CATALOGUE.values()))
