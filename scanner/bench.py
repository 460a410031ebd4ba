"""``iceprod bench reco|scan|event [--events DIR] [--reco NAME] [--processes N] [--json]``: how fast it is.

``reco``   pixels per CPU second of one core at a first and a refined level, for simulated tracks of growing
           size and for the events of a folder; beside it a plain fit (NumPy over modules, SciPy's simplex) of
           the same likelihood in the same run, with the ratio of speeds and the difference in −ln L; and the
           time of one evaluation per module, with its share of the arithmetic limit: FLOPS operations at the
           rate that this core reaches in a loop of multiplications and additions that look nothing up.
``scan``   whole scans in this process: pixels, CPU and wall seconds, and the distance of the best fit to the
           truth or to the stored reconstruction; with ``--processes N`` also how pixels per second grow
           from 1 to N processes.
``event``  how long it takes to decode an event, from its JSON text to cleaned pulses: CPU milliseconds.

CPU seconds are those of the process: a busy machine changes them little.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scanner.common import compiled
from scanner.common.fastmath import F
from scanner.events.directions import detector_to_icrs, pixel_directions
from scanner.events.event import Event, Particle
from scanner.events.i3live import read_event
from scanner.events.writer import write_event
from scanner.maps import healpix
from scanner.maps.growth import grown_pixels
from scanner.maps.levels import Progression, best_pixel, first_pixels, next_pixels, seeds_for
from scanner.recos.recos import find_reco, warm_up
from scanner.recos.track.hits import TrackHits
from scanner.recos.track.plain import PlainFit
from scanner.recos.track.reco import FIT_MPE, tables
from scanner.recos.track.search import GRID, MPE_WIDTHS, valleys_for
from scanner.simulation.simulate import simulate_track

__all__ = ["DEFAULT_PROGRESSION", "EventFigures", "RecoFigures", "ScanFigures", "arithmetic_rate",
           "bench_event", "bench_reco", "bench_scaling", "bench_scan", "scan_event"]

DEFAULT_PROGRESSION = "8:0,64:12,512:24"
ENERGIES = (1e3, 1e4, 1e5)
"""Of the simulated muons, GeV: about 90, 200 and 600 modules."""
FLOPS = 860
"""Additions and multiplications of the track likelihood per module: 256 to blend the splines' coefficients
over ξ, 112 for the other two axes, 60 for G, 130 for weights, 90 for ln and exp, 212 for geometry, ice and
slopes."""
PIXELS = 192
"""Of each level, whose fits are timed."""
_DEGREE = 16
_REPEATS = 9
_FEWEST = 3  # so many pixels are fitted by the plain fit, too
_SEED = 20240
"""Of the simulated events."""


@dataclass(frozen=True)
class RecoFigures:
    """Pixels per CPU second and core; a refined level starts from its parents' vertices."""

    event: str
    modules: int
    first_level: float
    refined_level: float
    plain: float
    ratio: float  # of the first level to the plain fit
    llh_difference: float  # mean of −ln L: plain fit minus ours; positive is in our favour
    ns_per_module: float  # of one evaluation, refined level
    share_of_limit: float  # of that time, what the arithmetic alone would take


@dataclass(frozen=True)
class ScanFigures:
    """One scan in one process."""

    event: str
    reco: str
    pixels: int
    cpu_seconds: float
    wall_seconds: float
    pixels_per_second: float
    llh: float
    reference: str
    degrees_off: float


@dataclass(frozen=True)
class EventFigures:
    """Decoding one event: CPU milliseconds the first time in this process, and the median of later times."""

    event: str
    json_bytes: int
    pulses: int
    first_ms: float
    ms: float


def bench_reco(events_dir: Path | None = None, pixels: int = PIXELS) -> dict[str, Any]:
    """Figures of the track fit for every event: `RecoFigures` by event name."""
    warm_up("track_mpe")
    rate = arithmetic_rate()
    return {name: asdict(_reco_figures(name, event, pixels, rate)) for name, event in _events(events_dir)}


def arithmetic_rate() -> float:
    """Floating-point operations per second that one core reaches in long polynomials, single precision."""
    x, rounds = np.linspace(0.0, 1.0, 512, dtype=F), 2000
    _polynomials(x.copy(), 1)
    best = min(_cpu(lambda: _polynomials(x.copy(), rounds))[0] for _ in range(10))
    return 2 * _DEGREE * len(x) * rounds / best


@compiled.fast_kernel
def _polynomials(x: np.ndarray, rounds: int) -> None:
    """Evaluate a polynomial of degree _DEGREE in place, again and again."""
    for _ in range(rounds):
        for i in range(len(x)):
            y = x[i]
            value = F(0.1)
            for _k in range(_DEGREE):
                value = value * y + F(0.3)
            x[i] = value * F(0.25)


def bench_event(events_dir: Path | None = None) -> dict[str, Any]:
    """Figures of decoding: `EventFigures` by event name."""
    texts = {name: json.dumps(write_event(event)).encode() for name, event in _events(None)}
    for path in sorted(events_dir.glob("**/*.json")) if events_dir else []:
        texts[path.stem] = path.read_bytes()
    return {name: asdict(_event_figures(name, text)) for name, text in texts.items()}


def _event_figures(name: str, text: bytes) -> EventFigures:
    first, event = _cpu(lambda: read_event(text, name=name))
    again = sorted(_cpu(lambda: read_event(text, name=name))[0] for _ in range(_REPEATS))
    return EventFigures(name, len(text), len(event.pulses), 1e3 * first, 1e3 * again[_REPEATS // 2])


def bench_scaling(processes: int, reco: str = "track_mpe", pixels: int = 768) -> dict[str, float]:
    """Pixels per wall second of a simulated event with 1, 2, 4 … processes, each of which fits them all."""
    counts = sorted({1, processes, *(2**k for k in range(1, processes.bit_length()) if 2**k <= processes)})
    figures = {}
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_fit_all, [reco] * processes, [1] * processes))  # starts, imports, loads
        for count in counts:
            start = time.perf_counter()
            list(pool.map(_fit_all, [reco] * count, [pixels] * count))
            figures[str(count)] = count * pixels / (time.perf_counter() - start)
    return figures


def _fit_all(name: str, pixels: int) -> None:
    warm_up(name)
    event, reco = next(_events(None))[1], find_reco(name)
    reco.reconstruct(reco.prepare(event), *pixel_directions(8, np.arange(pixels), event.mjd))


def bench_scan(events_dir: Path | None = None, reco: str = "track_mpe",
               progression: str = DEFAULT_PROGRESSION) -> dict[str, Any]:
    """Figures of whole scans: `ScanFigures` by event name."""
    warm_up(reco)
    events = _events(events_dir)
    return {name: asdict(_scan_figures(name, event, reco, progression)) for name, event in events}


def scan_event(event: Event, reco_name: str, progression: str = DEFAULT_PROGRESSION) -> dict[int, np.ndarray]:
    """Scan an event in this process; nside → table of PIXEL_DTYPE."""
    reco, levels = find_reco(reco_name), Progression.parse(progression)
    prepared = reco.prepare(event)
    tables: dict[int, np.ndarray] = {}
    wanted = {levels.nsides[0]: first_pixels(levels)}
    while wanted:
        for nside, pixels in wanted.items():
            seeds = seeds_for(levels, nside, pixels, tables)
            rows = reco.reconstruct(prepared, *pixel_directions(nside, pixels, event.mjd), seeds)
            rows["index"] = pixels
            tables[nside] = np.concatenate([tables[nside], rows]) if nside in tables else rows
        wanted = next_pixels(levels, tables) or _grown(levels, tables, reco_name)
    return tables


def _grown(levels: Progression, tables: dict[int, np.ndarray], reco: str) -> dict[int, np.ndarray]:
    known = {nside: table["index"] for nside, table in tables.items()}
    return grown_pixels(levels, tables, known, reco) if levels.grows else {}


def _events(events_dir: Path | None) -> Iterator[tuple[str, Event]]:
    rng = np.random.default_rng(_SEED)
    for energy in ENERGIES:
        event = simulate_track(rng, 1.6, 2.5, energy=energy, vertex=(50.0, 0.0, 100.0))
        yield f"simulated {energy:.0e} GeV", event
    if events_dir is not None:
        for path in sorted(events_dir.glob("*.json")):
            yield path.stem, read_event(path)


def _reco_figures(name: str, event: Event, n: int, rate: float) -> RecoFigures:
    reco = find_reco("track_mpe")
    hits = reco.prepare(event)
    pixels = np.linspace(0, healpix.npix(8) - 1, n).astype(np.int64)
    directions = pixel_directions(8, pixels, event.mjd)
    first_seconds, rows = _cpu(lambda: reco.reconstruct(hits, *directions))
    fine = pixel_directions(64, healpix.children(8, pixels, 64)[:, 0], event.mjd)
    refined_seconds, _ = _cpu(lambda: reco.reconstruct(hits, *fine, rows))
    few = np.linspace(0, n - 1, _FEWEST).astype(int)
    plain = PlainFit(hits)
    plain_seconds, llhs = _cpu(lambda: [plain.fit(directions[0][k], directions[1][k]) for k in few])
    speed, plain_speed = n / first_seconds, len(few) / plain_seconds
    seconds = refined_seconds / (_evaluations(hits, fine, rows) * len(hits.doms.x))
    return RecoFigures(name, hits.n_hit, speed, n / refined_seconds, plain_speed, speed / plain_speed,
                       float(np.mean(llhs) - rows["llh"][few].mean()), 1e9 * seconds, FLOPS / rate / seconds)


def _evaluations(hits: TrackHits, directions: tuple[np.ndarray, np.ndarray], seeds: np.ndarray) -> float:
    """How often the likelihood is evaluated in refined pixels, all together."""
    starts = np.stack([*(seeds[name] - hits.centre[k] for k, name in enumerate("XYZ")),
                       seeds["T"] - hits.time], axis=1)
    fits = np.empty((len(starts), 6))
    FIT_MPE(hits.doms, hits.doms, hits.coarse, tables(), *directions, starts, GRID, valleys_for(hits.n_hit),
            MPE_WIDTHS, fits)
    return float(fits[:, 5].sum())


def _cpu(work: Any) -> tuple[float, Any]:
    """CPU seconds and result of a call."""
    start = time.process_time()
    result = work()
    return max(time.process_time() - start, 1e-9), result


def _scan_figures(name: str, event: Event, reco: str, progression: str) -> ScanFigures:
    wall = time.perf_counter()
    cpu, tables = _cpu(lambda: scan_event(event, reco, progression))
    wall = time.perf_counter() - wall
    count = sum(len(table) for table in tables.values())
    best = best_pixel(tables)
    if best is None:
        raise SystemExit(f"{name}: no pixel could be fitted")
    reference, particle = _reference(event)
    return ScanFigures(name, reco, count, cpu, wall, count / cpu, best.llh, reference,
                       _degrees_off(event, best.nside, best.pixel, particle))


def _reference(event: Event) -> tuple[str, Particle | None]:
    """The truth, or the best stored reconstruction."""
    if event.truth is not None:
        return "truth", event.truth
    for ending in ("SplineMPE", "SPEFit2"):
        for key, particle in event.recos.items():
            if key.endswith(ending):
                return key, particle
    return "none", None


def _degrees_off(event: Event, nside: int, pixel: int, particle: Particle | None) -> float:
    if particle is None:
        return float("nan")
    ra, dec = detector_to_icrs(particle.zenith, particle.azimuth, event.mjd)
    a = healpix.vectors(nside, np.array([pixel]))[0]
    b = healpix.unit_vectors(np.degrees(ra), np.degrees(dec))
    return float(np.degrees(np.arccos(np.clip(a @ b, -1.0, 1.0))))


def main() -> None:
    """Print the figures as a table or as JSON."""
    parser = argparse.ArgumentParser(prog="python -m scanner.bench", description="Measure the kernel.")
    parser.add_argument("what", choices=("reco", "scan", "event"))
    parser.add_argument("--events", type=Path, help="folder of i3live JSON events to measure too")
    parser.add_argument("--pixels", type=int, default=PIXELS, help="of each level, for reco [%(default)s]")
    parser.add_argument("--reco", default="track_mpe", help="reconstruction of a scan")
    parser.add_argument("--nsides", default=DEFAULT_PROGRESSION, help="progression of a scan")
    parser.add_argument("--processes", type=int, default=0, help="measure how a scan scales to so many")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.pixels < _FEWEST:
        parser.error(f"--pixels: must be at least {_FEWEST}")
    if options.what == "reco":
        figures = bench_reco(options.events, options.pixels)
    elif options.what == "event":
        figures = bench_event(options.events)
    else:
        figures = bench_scan(options.events, options.reco, options.nsides)
    scaling = bench_scaling(options.processes, options.reco) if options.processes > 0 else {}
    if options.json:
        print(json.dumps({**figures, **({"scaling": scaling} if scaling else {})}, indent=1))
        return
    print(_table(figures))
    for count, speed in scaling.items():
        print(f"{count} processes: {speed:.0f} pixels/s")


def _table(figures: dict[str, Any]) -> str:
    rows = list(figures.values())
    lines = ["  ".join(rows[0])]
    lines += ["  ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values()) for row in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
