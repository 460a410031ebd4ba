"""The products of an analysis as files: results, plots, the corner plot of its samples, the samples."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from server.common.errors import NotFound
from server.desk.analyses import pictures, results
from server.desk.analyses.results import Findings, NoSamples

__all__ = ["PRODUCTS", "File", "product"]

PRODUCTS = ("results", "plots", "corner", "samples")


@dataclass(frozen=True)
class File:
    """A file's name, its content and its media type."""

    name: str
    content: bytes
    media_type: str

    def disposition(self, number: int, *, download: bool) -> str:
        """The header that says what to do with it; only pictures are shown by browsers."""
        how = "inline" if self.media_type.startswith("image/") and not download else "attachment"
        return f'{how}; filename="analysis_{number}_{self.name}"'


def product(found: Findings, kind: str, index: int, bins: int = pictures.BINS) -> File:
    """One product of an analysis; `bins` of its corner plot. Takes a while for pictures.

    Raises NotFound, BadRequest.
    """
    if kind == "results":
        if found.results is None:
            raise NotFound("the analysis has no results")
        return File("results.json", msgspec.json.encode(found.results.data), "application/json")
    if kind in ("plot", "plots"):
        return _plot(found, index)
    if kind == "corner":
        return _corner(found, bins)
    if kind == "samples" and found.inference_data is not None:
        return File(*results.file_of(found.inference_data), "application/octet-stream")
    if kind == "samples":
        raise NotFound("the analysis has no posterior samples")
    raise NotFound(f"product_type: there is no {kind[:60]!r}; there are {', '.join(PRODUCTS)}")


def _plot(found: Findings, index: int) -> File:
    if index >= len(found.plots):
        raise NotFound(f"plot_number: the analysis has {len(found.plots)} plots")
    data, kind = pictures.picture(found.plots[index])
    return File(f"plot_{index}.{kind}", data, f"image/{kind}")


def _corner(found: Findings, bins: int) -> File:
    try:
        samples = results.samples_of(found.inference_data)
    except NoSamples as error:
        raise NotFound(str(error)) from None
    return File("corner.png", pictures.corner(samples, bins), "image/png")
