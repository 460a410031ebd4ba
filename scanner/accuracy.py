"""``iceprod bench accuracy --sample DIR [--reco NAME] [--processes N] [--json]``: an independent judge.

Scans every event of a folder of simulated events with truth (forms: `scanner.simulation.samples`),
made by whatever program, and compares with the truth:

- angle between best fit and truth (median, 68 %, 90 % of the events);
- pull: that angle over the radius at which Wilks' 50 % region says that half of the truths lie; 1 is right
  for the median;
- per level set, the share of events whose truth lies inside the 50 % and 90 % regions, and their median
  areas;
- the thresholds on 2Δ ln L that would have been right for this sample, with the median areas they give;
- energy over true energy, where a reconstruction has one: median (bias) and half the 16 … 84 % interval of
  its logarithm (spread);

for all events together, and by true energy and by length in the detector. ``--keep FILE`` writes a line per
event and goes on where an earlier run ended.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from scanner.bench import DEFAULT_PROGRESSION, scan_event
from scanner.common.errors import ScannerError
from scanner.coverage import LEVELS, calibrate, containment
from scanner.events.directions import detector_to_icrs
from scanner.maps import healpix
from scanner.maps.level_sets import LEVEL_SETS
from scanner.maps.levels import best_pixel
from scanner.maps.skymap import SkyMap
from scanner.recos.recos import find_reco, method_of, warm_up
from scanner.simulation.samples import read_true_event, sample_files

__all__ = ["Judgement", "judge", "length_inside", "summary"]

RADIUS, HALF_HEIGHT = 520.0, 500.0
"""A cylinder around the instrumented volume, m: a track's length is measured inside."""
_GROUPS = 3
_PROFILE = np.geomspace(0.1, 200.0, 120)
"""Thresholds on 2Δ ln L at which a map's area is kept, so that areas of any level set follow."""


class Judgement(msgspec.Struct, frozen=True):
    """One event's scan beside its truth."""

    name: str
    kind: str
    reco: str
    modules: int
    energy: float  # GeV, true: deposited in the detector if told, otherwise of the particle
    length: float  # m inside the detector; 0 for a shower
    degrees_off: float
    delta: float  # 2Δ ln L of the map at the truth
    wilks_areas: list[float]  # deg² of Wilks' regions, by level
    areas: list[float]  # deg² within the thresholds of _PROFILE
    fitted_energy: float | None  # GeV
    cpu_seconds: float


def length_inside(place: np.ndarray, flight: np.ndarray) -> float:
    """Length (m) of a straight line inside the cylinder; place and unit vector of shape (3,)."""
    across = float(flight[:2] @ flight[:2])
    low, high = -np.inf, np.inf
    if across > 1e-12:
        middle = -float(place[:2] @ flight[:2]) / across
        room = middle**2 - (float(place[:2] @ place[:2]) - RADIUS**2) / across
        if room <= 0:
            return 0.0
        low, high = middle - room**0.5, middle + room**0.5
    elif place[:2] @ place[:2] > RADIUS**2:
        return 0.0
    if abs(flight[2]) > 1e-12:
        ends = sorted((side - place[2]) / flight[2] for side in (-HALF_HEIGHT, HALF_HEIGHT))
        low, high = max(low, ends[0]), min(high, ends[1])
    elif abs(place[2]) > HALF_HEIGHT:
        return 0.0
    return float(max(high - low, 0.0))


def judge(path: Path, reco: str, progression: str = DEFAULT_PROGRESSION) -> Judgement:
    """Scan one file of a sample; raises EventError when it cannot be used."""
    told = read_true_event(path)
    event, truth = told.event, told.truth
    started = time.process_time()
    tables = scan_event(event, reco, progression)
    seconds = time.process_time() - started
    skymap, best = SkyMap.from_results(tables), best_pixel(tables)
    assert best is not None, "a map has a best pixel"
    row = tables[best.nside][tables[best.nside]["index"] == best.pixel][0]
    ra, dec = np.degrees(detector_to_icrs(truth.zenith, truth.azimuth, event.mjd))
    found = healpix.unit_vectors(skymap.best_fit.ra_deg, skymap.best_fit.dec_deg)
    off = np.degrees(np.arccos(np.clip(found @ healpix.unit_vectors(ra, dec), -1.0, 1.0)))
    fitted = float(row["E_in"])
    flight = -np.array([np.sin(truth.zenith) * np.cos(truth.azimuth),
                        np.sin(truth.zenith) * np.sin(truth.azimuth), np.cos(truth.zenith)])
    length = length_inside(np.array([truth.x, truth.y, truth.z]), flight) if truth.shape == "track" else 0.0
    keys = event.cleaned.string.astype(int) * 100 + event.cleaned.om
    within = np.searchsorted(_PROFILE, skymap.delta)
    areas = np.cumsum(np.bincount(within, weights=skymap.area, minlength=len(_PROFILE) + 1))[: len(_PROFILE)]
    wilks = [_area_within(skymap, LEVEL_SETS["wilks"].threshold(level)) for level in LEVELS]
    return Judgement(path.name, truth.shape, method_of(reco, event).reco, len(np.unique(keys)),
                     told.deposited if np.isfinite(told.deposited) else truth.energy, length, float(off),
                     float(skymap.delta_at(ra, dec)), wilks, areas.tolist(),
                     fitted if np.isfinite(fitted) else None, seconds)


def _area_within(skymap: SkyMap, threshold: float) -> float:
    """Area (deg²) within a threshold on 2Δ ln L."""
    return float(skymap.area[skymap.delta <= threshold].sum())


def summary(judgements: Sequence[Judgement]) -> dict[str, Any]:
    """Figures of some events together."""
    off = np.array([one.degrees_off for one in judgements])
    deltas = np.array([one.delta for one in judgements])
    half = np.sqrt([one.wilks_areas[0] / np.pi for one in judgements])
    recos = {one.reco for one in judgements}
    result: dict[str, Any] = {
        "events": len(judgements),
        "degrees_off": {f"{share:g}": float(np.quantile(off, share)) for share in (0.5, 0.68, 0.9)},
        "pull": {f"{share:g}": float(np.quantile(off / half, share)) for share in (0.5, 0.9)},
        "coverage": {name: [asdict(one) | {"area": _median_area(judgements, levels.threshold(one.level))}
                            for one in containment(deltas, levels)]
                     for name, levels in LEVEL_SETS.items() if all(levels.fits(reco) for reco in recos)},
        "calibrated": [asdict(one) | {"area": _median_area(judgements, one.threshold)}
                       for one in calibrate(deltas)],
        "cpu_seconds": float(np.mean([one.cpu_seconds for one in judgements])),
    }
    logs = [np.log(one.fitted_energy / one.energy) for one in judgements
            if one.fitted_energy and one.energy > 0]
    if logs:
        low, middle, high = np.quantile(logs, (0.16, 0.5, 0.84))
        result["energy"] = {"events": len(logs), "median_ratio": float(np.exp(middle)),
                            "log_spread": float(0.5 * (high - low))}
    return result


def _median_area(judgements: Sequence[Judgement], threshold: float) -> float:
    """Median area (deg²) of the maps within a threshold on 2Δ ln L."""
    return float(np.median([np.interp(threshold, _PROFILE, one.areas) for one in judgements]))


def _thirds(judgements: Sequence[Judgement], by: Callable[[Judgement], float]) -> list[dict[str, Any]]:
    ordered = sorted(judgements, key=by)
    cuts = [len(ordered) * k // _GROUPS for k in range(_GROUPS + 1)]
    groups = [ordered[first:last] for first, last in itertools.pairwise(cuts)]
    return [{"range": [by(group[0]), by(group[-1])], **summary(group)} for group in groups if group]


def _document(judgements: Sequence[Judgement], sample: Path, reco: str, progression: str) -> dict[str, Any]:
    document: dict[str, Any] = {"sample": sample.name, "reco": reco, "nsides": progression, "kinds": {}}
    for kind in sorted({one.kind for one in judgements}):
        chosen = [one for one in judgements if one.kind == kind]
        choices = sorted({one.reco for one in chosen})
        figures = summary(chosen) | {"computed": {name: sum(one.reco == name for one in chosen)
                                                  for name in choices}}
        figures["by_energy"] = _thirds(chosen, lambda one: one.energy)
        if kind == "track":
            figures["by_length"] = _thirds(chosen, lambda one: one.length)
        document["kinds"][kind] = figures
    return document


def _kept(keep: Path | None, reco: str) -> dict[str, Judgement]:
    if keep is None or not keep.exists():
        return {}
    lines = [msgspec.json.decode(line, type=Judgement) for line in keep.read_bytes().splitlines()]
    return {one.name: one for one in lines if reco in (one.reco, "auto")}


def _judgements(files: Sequence[Path], reco: str, progression: str, processes: int,
                keep: Path | None) -> Iterator[Judgement]:
    known = _kept(keep, reco)
    yield from (known[path.name] for path in files if path.name in known)
    missing = [path for path in files if path.name not in known]
    work = partial(judge, reco=reco, progression=progression)
    if processes == 1:
        found: Iterator[Judgement] = map(work, missing)
        yield from _noted(found, keep)
    else:
        with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
            yield from _noted(pool.map(work, missing), keep)


def _noted(found: Iterator[Judgement], keep: Path | None) -> Iterator[Judgement]:
    """The same, each written to the file as soon as it is there."""
    for one in found:
        if keep is not None:
            with keep.open("ab") as lines:
                lines.write(msgspec.json.encode(one) + b"\n")
        yield one


def _text(document: dict[str, Any]) -> str:
    lines = [f"sample {document['sample']}, {document['reco']}, {document['nsides']}"]
    for kind, figures in document["kinds"].items():
        chosen = ", ".join(f"{count} by {name}" for name, count in figures["computed"].items())
        lines.append(f"{figures['events']} events of kind {kind} ({chosen})")
        lines += ["  " + line for line in _lines(figures)]
        for key, unit in (("by_energy", "GeV"), ("by_length", "m")):
            for group in figures.get(key, []):
                low, high = group["range"]
                lines.append(f"  {low:.4g} … {high:.4g} {unit}: {_lines(group)[0]}")
    return "\n".join(lines)


def _lines(figures: dict[str, Any]) -> list[str]:
    off, pull = figures["degrees_off"], figures["pull"]
    lines = [f"angle {off['0.5']:.3f}° median, {off['0.68']:.3f}° 68 %, {off['0.9']:.3f}° 90 %; "
             f"pull {pull['0.5']:.2f}; {figures['cpu_seconds']:.2f} CPU s per event"]
    for name, found in figures["coverage"].items():
        lines += [f"{100 * one['level']:g} % region of {name}: holds {100 * one['observed']:.0f} ± "
                  f"{100 * one['error']:.0f} % of the truths, median {one['area']:.3g} deg²" for one in found]
    lines += [f"calibrated here, {100 * one['level']:g} %: 2Δ ln L = {one['threshold']:.2f} "
              f"({one['low']:.2f} … {one['high']:.2f}), median {one['area']:.3g} deg²"
              for one in figures["calibrated"]]
    if "energy" in figures:
        energy = figures["energy"]
        lines.append(f"energy over truth: median {energy['median_ratio']:.2f}, spread of its logarithm "
                     f"{energy['log_spread']:.2f}")
    return lines


def main() -> int:
    """Judge a sample and print the figures as text or as JSON; 2 when something asked for does not exist."""
    parser = argparse.ArgumentParser(prog="iceprod bench accuracy", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=Path, required=True, metavar="DIR",
                        help="folder of events with truth")
    parser.add_argument("--reco", default="auto", help="[%(default)s]")
    parser.add_argument("--nsides", default=DEFAULT_PROGRESSION, help="levels to scan [%(default)s]")
    parser.add_argument("--processes", type=int, default=1, metavar="N", help="[%(default)s]")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="one line of JSON per event; continued")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.processes < 1:
        parser.error("--processes: must be at least 1")
    try:
        reco = find_reco(options.reco).name
        files = sample_files(options.sample)
        warm_up(reco)
        found = list(_judgements(files, reco, options.nsides, options.processes, options.keep))
    except (ScannerError, ValueError) as error:
        print(f"iceprod bench accuracy: {error}", file=sys.stderr)
        return 2
    document = _document(found, options.sample, reco, options.nsides)
    print(json.dumps(document, indent=1) if options.json else _text(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
