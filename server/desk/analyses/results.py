"""What an analysis hands in: results, posterior samples and plots, checked so that nothing in them can run.

The shape is that of SkyPortal's call-back: ``{"results": {"format", "data"}, "inference_data": {…}, "plots":
[{…}]}``. Samples are ``json`` (lists of numbers by parameter), or base64 text of an ``npz`` or netCDF file.
Pickles (joblib) are refused: to load one is to run it.
"""

from __future__ import annotations

import base64
import binascii
import io
import zipfile
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from scanner.common.loading import LOADING
from server.common.errors import BadRequest
from server.desk.common.bodies import Body, convert

__all__ = ["Findings", "NoSamples", "Product", "Said", "figures", "file_of", "from_upload", "image_of",
           "read", "samples_of"]

MOST_PLOTS = 20
MOST_FIGURES = 8
MOST_SAMPLES = 2_000_000  # numbers, of all parameters together
MOST_PARAMETERS = 12  # of a corner plot
MAGIC = {"png": b"\x89PNG\r\n\x1a\n", "jpeg": b"\xff\xd8\xff"}
SERIES = "series"  # a plot that the server draws: `server.desk.analyses.pictures`
_NETCDF3, _HDF5 = b"CDF", b"\x89HDF\r\n\x1a\n"
_SAMPLES = ("json", "npz", "netcdf", "netcdf4")


class NoSamples(ValueError):
    """There is nothing to draw a corner plot of; the text says why."""


class Product(Body):
    """One part of what an analysis found."""

    format: str
    data: Any = None


class Findings(Body):
    """All that an analysis found."""

    results: Product | None = None
    inference_data: Product | None = None
    plots: list[Product] = msgspec.field(default_factory=list)


class Said(Body):
    """What a service says at the end of an analysis."""

    status: str
    message: str = ""
    analysis: dict[str, Any] = msgspec.field(default_factory=dict)  # as `Findings`

    @property
    def findings(self) -> Findings:
        """What it found. Raises BadRequest."""
        return convert(self.analysis, Findings)


def read(document: Mapping[str, Any]) -> Said:
    """What a service sent. Raises BadRequest, which names the field."""
    said = convert(document, Said)
    if said.status not in ("success", "failure"):
        raise BadRequest(f"status: must be 'success' or 'failure', not {said.status[:40]!r}")
    _check(said.findings)
    return said


def from_upload(analysis: Mapping[str, Any] | None, results: Mapping[str, Any] | None) -> Findings:
    """What a person uploads: `analysis` as a service sends it, else bare `results`. Raises BadRequest."""
    if analysis is None and results is None:
        raise BadRequest("analysis: must be given, with results, inference_data or plots")
    wrapped = {"results": {"format": "json", "data": dict(results or {})}}
    found = convert(wrapped if analysis is None else analysis, Findings)
    _check(found)
    return found


def image_of(plot: Product) -> bytes:
    """The bytes of a picture. Raises BadRequest."""
    data = _decoded(plot, "plots")
    if not data.startswith(MAGIC[plot.format]):
        raise BadRequest(f"plots: the data is no {plot.format} picture")
    return data


def figures(found: Findings) -> list[list[Any]]:
    """The first plain numbers and words of the results, each with its name: what a line of text can show."""
    data = found.results.data if found.results is not None else None
    plain = [[name[:100], value[:200] if isinstance(value, str) else value]
             for name, value in (data.items() if isinstance(data, dict) else ())
             if isinstance(value, str | int | float)]
    return plain[:MOST_FIGURES]


def file_of(product: Product) -> tuple[str, bytes]:
    """Posterior samples as a file: its name and content."""
    if product.format == "json":
        return "samples.json", msgspec.json.encode(product.data)
    ending = "npz" if product.format == "npz" else "nc"
    return f"samples.{ending}", _decoded(product, "inference_data")


def samples_of(product: Product | None) -> dict[str, np.ndarray]:
    """Posterior samples by parameter: float64 arrays of one shape ``(n,)``. Raises NoSamples."""
    if product is None:
        raise NoSamples("the analysis has no posterior samples")
    try:
        found = _columns(product)
        columns = {name: np.asarray(values, dtype=float).ravel() for name, values in found.items()}
    except (ValueError, TypeError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise NoSamples(f"the posterior samples cannot be read: {error}") from None
    lengths = {len(values) for values in columns.values()}
    if not columns or len(columns) > MOST_PARAMETERS or len(lengths) != 1 or min(lengths) < 2:
        raise NoSamples(f"a corner plot needs 1 to {MOST_PARAMETERS} parameters with as many samples each")
    if not all(np.isfinite(values).all() for values in columns.values()):
        raise NoSamples("the posterior samples have values that are no numbers")
    return columns


def _columns(product: Product) -> dict[str, Any]:
    if product.format == "json":
        return {str(name): values for name, values in product.data.items()}
    data = _decoded(product, "inference_data")
    if product.format == "npz":
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    if data.startswith(_HDF5):
        raise NoSamples("these samples are netCDF-4 (HDF5): corner plots are drawn of JSON, npz and netCDF-3")
    with LOADING:
        from scipy.io import netcdf_file

    with netcdf_file(io.BytesIO(data), mmap=False) as file:
        return {name: variable[:].copy() for name, variable in file.variables.items()
                if name not in file.dimensions}


def _check(found: Findings) -> None:
    if found.results is not None and found.results.format != "json":
        raise BadRequest(f"results: the format must be 'json', not {found.results.format[:40]!r}"
                         + _about_pickles(found.results.format))
    if found.inference_data is not None:
        _check_samples(found.inference_data)
    if len(found.plots) > MOST_PLOTS:
        raise BadRequest(f"plots: at most {MOST_PLOTS}, not {len(found.plots)}")
    for plot in found.plots:
        _check_plot(plot)


def _check_samples(product: Product) -> None:
    if product.format not in _SAMPLES:
        raise BadRequest(f"inference_data: the format must be one of {', '.join(_SAMPLES)}, not "
                         f"{product.format[:40]!r}" + _about_pickles(product.format))
    if product.format == "json":
        _check_columns(product.data)
        return
    data = _decoded(product, "inference_data")
    begins = (b"PK",) if product.format == "npz" else (_NETCDF3, _HDF5)
    if not data.startswith(begins):
        raise BadRequest(f"inference_data: the data is no {product.format} file")
    if product.format == "npz":
        _check_size(data)


def _check_columns(data: Any) -> None:
    if not isinstance(data, dict) or not all(isinstance(values, list) for values in data.values()):
        raise BadRequest("inference_data: must be an object with a list of numbers for each parameter")
    if sum(map(len, data.values())) > MOST_SAMPLES:
        raise BadRequest(f"inference_data: at most {MOST_SAMPLES} numbers")


def _check_size(data: bytes) -> None:
    """A small archive may hold very much."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, OSError):
        raise BadRequest("inference_data: the data is no npz file") from None
    if size > 8 * MOST_SAMPLES:
        raise BadRequest(f"inference_data: unpacked, at most {8 * MOST_SAMPLES >> 20} MB")


def _check_plot(plot: Product) -> None:
    if plot.format == SERIES:
        convert(plot.data if isinstance(plot.data, dict) else {}, Series)
    elif plot.format in MAGIC:
        image_of(plot)
    else:
        known = ", ".join((*MAGIC, SERIES))
        raise BadRequest(f"plots: the format must be one of {known}, not {plot.format[:40]!r}"
                         + _about_pickles(plot.format))


def _about_pickles(name: str) -> str:
    return ": pickles are refused, since to load one is to run it" if name in ("joblib", "pickle") else ""


def _decoded(product: Product, field: str) -> bytes:
    if not isinstance(product.data, str):
        raise BadRequest(f"{field}: the data of a {product.format} file must be base64 text")
    try:
        return base64.b64decode(product.data, validate=True)
    except (binascii.Error, ValueError):
        raise BadRequest(f"{field}: the data is not base64 text") from None


Numbers = list[float | None]


class Line(Body):
    """Points of a plot, or a curve through them; `error` is of `y`."""

    x: Numbers
    y: Numbers
    error: Numbers | None = None
    label: str = ""
    style: str = "points"  # or "line"

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y) or (self.error is not None and len(self.error) != len(self.y)):
            raise ValueError("x, y and error must be of one length")
        if len(self.x) > MOST_SAMPLES // 20:
            raise ValueError(f"at most {MOST_SAMPLES // 20} points")
        if self.style not in ("points", "line"):
            raise ValueError("style must be 'points' or 'line'")


class Series(Body):
    """A plot of numbers, which the server draws."""

    lines: list[Line]
    title: str = ""
    x_label: str = ""
    y_label: str = ""
