"""``iceprod bench coverage --class track --events 500``: do regions hold the truth as often as they say?

Scans simulated events (`scanner.simulation.population`) and looks up 2Δ ln L of the map at the true
direction. It prints the share of events whose truth lies inside the 50 % and 90 % regions of each level set,
and the calibrated thresholds: the 2Δ ln L within which 50 % and 90 % of the truths lay, with their
statistical errors.

The shipped set of `scanner.maps.level_sets` is the output of this command. ``--keep FILE`` writes a line per
event and goes on where an earlier run ended.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from scanner.bench import scan_event
from scanner.events.directions import detector_to_icrs
from scanner.maps import healpix
from scanner.maps.level_sets import LEVEL_SETS, LevelSet
from scanner.maps.posterior import Posterior
from scanner.maps.skymap import SkyMap
from scanner.recos.recos import RECOS, warm_up
from scanner.simulation.population import CLASSES, ICE_SPREAD, draw_event

__all__ = ["Calibration", "Containment", "Outcome", "Sample", "calibrate", "containment", "scan_outcome"]

PROGRESSIONS = {"track": "8:0,64:12,512:24", "cascade": "8:0,32:12", "millipede": "8:0,64:12,512:24"}
"""Levels scanned per class; a shower's direction is known to degrees, finer pixels would not matter."""
LEVELS = (0.5, 0.9)
_SEED = 20261120
_GROUPS = 3


@dataclass(frozen=True)
class Sample:
    """Which events are scanned, and at which levels."""

    name: str  # class
    seed: int
    events: int
    ice_spread: float
    single_losses: bool
    progression: str
    reco: str


class Outcome(msgspec.Struct, frozen=True):
    """What the scan of one event told."""

    number: int
    modules: int
    energy: float  # GeV, true
    degrees_off: float  # best fit to truth
    delta: float  # 2Δ ln L of the map at the truth
    areas: dict[str, float]  # deg² of the 50 % and 90 % regions by Wilks' thresholds
    cpu_seconds: float


@dataclass(frozen=True)
class Containment:
    """Observed share of truths inside a region, with its binomial error."""

    level: float
    observed: float
    error: float


@dataclass(frozen=True)
class Calibration:
    """The threshold on 2Δ ln L that holds a share of the truths, and its 68 % interval."""

    level: float
    threshold: float
    low: float
    high: float


def scan_outcome(sample: Sample, number: int) -> Outcome:
    """Simulate and scan one event of a sample."""
    event = draw_event(sample.name, sample.seed, number, sample.ice_spread, sample.single_losses)
    assert event.truth is not None, "simulated events have a truth"
    started = time.process_time()
    skymap = SkyMap.from_results(scan_event(event, sample.reco, sample.progression))
    seconds = time.process_time() - started
    ra, dec = np.degrees(detector_to_icrs(event.truth.zenith, event.truth.azimuth, event.mjd))
    best = healpix.unit_vectors(skymap.best_fit.ra_deg, skymap.best_fit.dec_deg)
    cosine = float(np.clip(best @ healpix.unit_vectors(ra, dec), -1.0, 1.0))
    posterior = Posterior.of(skymap, LEVEL_SETS["wilks"])
    keys = event.cleaned.string.astype(int) * 100 + event.cleaned.om
    return Outcome(number, len(np.unique(keys)), event.truth.energy, float(np.degrees(np.arccos(cosine))),
                   float(skymap.delta_at(ra, dec)), {f"{level:g}": posterior.area(level) for level in LEVELS},
                   seconds)


def containment(deltas: np.ndarray, levels: LevelSet) -> list[Containment]:
    """How often the truth lay inside the regions of a level set; deltas of shape (n,)."""
    found = []
    for level in LEVELS:
        share = float(np.mean(deltas <= levels.threshold(level)))
        found.append(Containment(level, share, float(np.sqrt(level * (1 - level) / len(deltas)))))
    return found


def calibrate(deltas: np.ndarray) -> list[Calibration]:
    """Thresholds that hold 50 % and 90 % of the truths; intervals from order statistics; deltas (n,)."""
    ordered, n = np.sort(deltas), len(deltas)

    def at(share: float) -> float:
        return float(ordered[min(max(int(np.ceil(share * n)) - 1, 0), n - 1)])

    errors = {level: float(np.sqrt(level * (1 - level) / n)) for level in LEVELS}
    return [Calibration(level, at(level), at(level - errors[level]), at(level + errors[level]))
            for level in LEVELS]


def _outcomes(sample: Sample, keep: Path | None) -> Iterator[Outcome]:
    """Outcomes of a sample's events; those kept in a file are not computed again."""
    known = {outcome.number: outcome for outcome in _kept(keep)}
    for number in range(sample.events):
        if number not in known:
            outcome = scan_outcome(sample, number)
            if keep is not None:
                with keep.open("ab") as lines:
                    lines.write(msgspec.json.encode(outcome) + b"\n")
            yield outcome
        else:
            yield known[number]


def _kept(keep: Path | None) -> list[Outcome]:
    if keep is None or not keep.exists():
        return []
    return [msgspec.json.decode(line, type=Outcome) for line in keep.read_bytes().splitlines()]


def _document(sample: Sample, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    deltas = np.array([outcome.delta for outcome in outcomes])
    by_size = sorted(outcomes, key=lambda outcome: outcome.modules)
    cuts = [len(outcomes) * k // _GROUPS for k in range(_GROUPS + 1)]
    groups = [by_size[first:last] for first, last in itertools.pairwise(cuts)]
    off = np.array([outcome.degrees_off for outcome in outcomes])
    return {
        "class": sample.name, "reco": sample.reco, "events": len(outcomes), "seed": sample.seed,
        "ice_spread": sample.ice_spread, "single_losses": sample.single_losses, "nsides": sample.progression,
        "cpu_seconds": sum(outcome.cpu_seconds for outcome in outcomes),
        "degrees_off": {f"{share:g}": float(np.quantile(off, share)) for share in (*LEVELS, 1.0)},
        "containment": {key: [asdict(one) for one in containment(deltas, levels)]
                        for key, levels in LEVEL_SETS.items()},
        "calibrated": [asdict(one) for one in calibrate(deltas)],
        "by_modules": [_group(group) for group in groups if group],
    }


def _group(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """A third of the events, by their number of hit modules."""
    deltas = np.array([outcome.delta for outcome in outcomes])
    return {"modules": [outcomes[0].modules, outcomes[-1].modules], "events": len(outcomes),
            "median_degrees_off": float(np.median([outcome.degrees_off for outcome in outcomes])),
            "containment": [asdict(one) for one in containment(deltas, LEVEL_SETS["wilks"])],
            "calibrated": [asdict(one) for one in calibrate(deltas)]}


def _text(document: dict[str, Any]) -> str:
    lines = [f"{document['events']} simulated events of class {document['class']} ({document['reco']}), "
             f"seed {document['seed']}, ice spread {document['ice_spread']:g}, {document['nsides']}"]
    for name, found in document["containment"].items():
        lines += [f"  {100 * one['level']:g} % region of {name}: holds the truth of "
                  f"{100 * one['observed']:.1f} ± {100 * one['error']:.1f} % of the events" for one in found]
    lines += [f"  calibrated {100 * one['level']:g} %: 2Δ ln L = {one['threshold']:.2f} "
              f"({one['low']:.2f} … {one['high']:.2f})" for one in document["calibrated"]]
    return "\n".join(lines)


def main() -> None:
    """Measure the coverage of a class and print it as text or as JSON."""
    parser = argparse.ArgumentParser(prog="iceprod bench coverage", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--class", dest="name", choices=tuple(CLASSES), default="track")
    parser.add_argument("--events", type=_positive, default=500, help="how many to simulate [%(default)s]")
    parser.add_argument("--seed", type=int, default=_SEED, help="[%(default)s]")
    parser.add_argument("--ice", type=float, default=ICE_SPREAD, metavar="SPREAD",
                        help="relative spread of scattering and absorption [%(default)s]")
    parser.add_argument("--even-losses", action="store_true", help="muons lose their energy evenly")
    parser.add_argument("--reco", choices=tuple(RECOS), help="reconstruction to measure [by class]")
    parser.add_argument("--nsides", help="levels to scan, such as 8:0,64:12 [by class]")
    parser.add_argument("--keep", type=Path, metavar="FILE", help="one line of JSON per event; continued")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    sample = Sample(options.name, options.seed, options.events, options.ice, not options.even_losses,
                    options.nsides or PROGRESSIONS[options.name], options.reco or CLASSES[options.name])
    warm_up(sample.reco)
    document = _document(sample, list(_outcomes(sample, options.keep)))
    print(json.dumps(document, indent=1) if options.json else _text(document))


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


if __name__ == "__main__":
    main()
