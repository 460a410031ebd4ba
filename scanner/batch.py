"""A batch of pixels: from pixel numbers and seeds to rows of results, with the event kept warm."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scanner.events.directions import pixel_directions
from scanner.events.event import Event
from scanner.maps.rows import BatchError, Row, rows_from_table, seeds_from_rows
from scanner.recos.recos import find_reco, warm_up

__all__ = ["BatchResult", "Prepared", "part_sizes", "reconstruct_pixels", "run_batch", "run_parts"]


@dataclass(frozen=True)
class BatchResult:
    """Rows as JSON takes them, and what they cost in seconds."""

    rows: list[list[float | int | None]]
    seconds: float
    cpu_seconds: float


class Prepared:
    """The last few events as arrays of a reconstruction; preparing one costs more than many pixels."""

    def __init__(self, size: int = 4) -> None:
        self._size = size
        self._arrays: OrderedDict[tuple[int, str], tuple[Event, Any]] = OrderedDict()

    def get(self, event: Event, reco_name: str) -> Any:
        """The arrays of this very event object. Raises UnknownReco, and EventError when it cannot be used."""
        key = (id(event), reco_name)
        if key not in self._arrays:
            reco = find_reco(reco_name)
            warm_up(reco.name)
            self._arrays[key] = (event, reco.prepare(event))
        self._arrays.move_to_end(key)
        while len(self._arrays) > self._size:
            self._arrays.popitem(last=False)
        return self._arrays[key][1]


def run_batch(event: Event, reco_name: str, nside: int, pixels: Sequence[int],
              seeds: Sequence[Row | None] | None, prepared: Prepared | None = None) -> BatchResult:
    """Reconstruct pixels (RING, ICRS) of an event, from and to plain lists.

    ``seeds`` has one row ``[index, llh, E_in, E_tot, X, Y, Z, T]`` or None per pixel, or is None as a whole.
    The rows of the result have the same form and order as the pixels; NaN is None.
    Raises BatchError, UnknownReco and EventError.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    table = seeds_from_rows(seeds, len(pixels))
    result = reconstruct_pixels(event, reco_name, nside, np.asarray(pixels, dtype=np.int64), table, prepared)
    rows = rows_from_table(result)
    return BatchResult(rows, time.perf_counter() - wall, time.process_time() - cpu)


def run_parts(event: Event, reco_name: str, nside: int, pixels: Sequence[int],
              seeds: Sequence[Row | None] | None, prepared: Prepared, part_seconds: float, alone: int = 0,
              ) -> Iterator[int | BatchResult]:
    """The same in parts, so that whoever waits sees which pixels take too long.

    Before each part comes its number of pixels, after it its result. A part is expected to take
    ``part_seconds`` at most; each of the first ``alone`` pixels is a part of its own. The event is prepared
    before the first part. Raises as `run_batch`.
    """
    if seeds is not None and len(seeds) != len(pixels):
        raise BatchError(f"seeds: {len(seeds)} for {len(pixels)} pixels")
    prepared.get(event, reco_name)
    sizes, start = part_sizes(len(pixels), part_seconds, alone), 0
    size = next(sizes)
    while size:
        yield size
        end = start + size
        result = run_batch(event, reco_name, nside, pixels[start:end],
                           None if seeds is None else seeds[start:end], prepared)
        yield result
        start, size = end, sizes.send(result.seconds)


def part_sizes(n: int, part_seconds: float, alone: int = 0) -> Generator[int, float, None]:
    """Sizes of parts that add up to n, then 0; wants to be sent how long each part took (s).

    The first has one pixel, and none is more than twice as large as the one before.
    """
    done, size = 0, 1
    while done < n:
        size = 1 if done < alone else min(size, n - done)
        seconds = yield size
        done += size
        size = max(1, min(2 * size, int(part_seconds * size / max(seconds, 1e-9))))
    yield 0


def reconstruct_pixels(event: Event, reco_name: str, nside: int, pixels: np.ndarray, seeds: np.ndarray | None,
                       prepared: Prepared | None = None) -> np.ndarray:
    """The same with arrays: pixels int64 of shape (n,), seeds and result PIXEL_DTYPE of shape (n,)."""
    if pixels.ndim != 1 or not len(pixels):
        raise BatchError("pixels: must be a list of at least one pixel")
    try:
        zenith, azimuth = pixel_directions(nside, pixels, event.mjd)
    except ValueError as error:
        raise BatchError(f"pixels: {error}") from None
    arrays = (prepared or Prepared()).get(event, reco_name)
    result = find_reco(reco_name).reconstruct(arrays, zenith, azimuth, seeds)
    result["index"] = pixels
    return result
