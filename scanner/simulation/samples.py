"""Samples of simulated events with truth, made by any program: what `iceprod bench accuracy` reads.

A sample is a folder. Every file in it is one event, in one of two forms.

``*.npz``
    Photo-electrons and truth, as numpy arrays:

    - ``string`` (1 … 86), ``om`` (1 … 60), ``time`` (ns after the start of a readout of 14 µs), each of
      shape (n,), one row per photo-electron. Noise, the modules' time resolution, the merging to pulses,
      local coincidence and the official cleaning are added here, the same way each time the file is read;
    - or the same with ``charge`` (PE) and ``flags`` (1 is local coincidence): then the rows are pulses, and
      only the cleaning is added;
    - truth, scalars: ``zenith``, ``azimuth`` (rad, where the particle comes from), ``x``, ``y``, ``z`` (m)
      and ``t0`` (ns) of a point on the track or of the shower, ``energy_gev``; optional ``deposited_gev``,
      the energy left inside the detector, and ``kind``, "track" (default) or "cascade";
    - optional ``source``: text that says what made it. Other arrays are ignored.

``*.json``
    An i3live event with its truth, as `iceprod simulate` writes it.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from config.detector import DOMS_PER_STRING, STRINGS, dom_positions
from config.unpacking import UnpackError, npz_arrays
from scanner.common.errors import EventError
from scanner.events.cleaning import clean
from scanner.events.event import Event, Particle, Pulses
from scanner.events.i3live import read_event
from scanner.simulation.simulate import DEFAULT_MJD, READOUT, event_of

__all__ = ["TrueEvent", "read_true_event", "sample_files"]

_ROWS, _TRUTH = ("string", "om", "time"), ("zenith", "azimuth", "x", "y", "z", "t0", "energy_gev")
_KINDS = ("track", "cascade")
_MOST_ROWS = 10_000_000
_MOST_BYTES = 2 << 30
_PULSE_WIDTH = 8.0


@dataclass(frozen=True)
class TrueEvent:
    """An event with its truth, and what only the file knows."""

    event: Event
    truth: Particle
    deposited: float  # GeV inside the detector; NaN if not told
    source: str


def sample_files(folder: Path) -> list[Path]:
    """The events of a sample, by name; EventError if there are none."""
    if not folder.is_dir():
        raise EventError(f"{folder}: not a folder")
    files = sorted(path for path in folder.iterdir() if path.suffix in (".npz", ".json"))
    if not files:
        raise EventError(f"{folder}: no .npz or .json files")
    return files


def read_true_event(path: Path) -> TrueEvent:
    """Read one event of a sample; raises EventError that names the file and what is wrong with it."""
    if path.suffix == ".json":
        event = read_event(path)
        if event.truth is None:
            raise EventError(f"{path.name}: no truth in it")
        return TrueEvent(event, event.truth, float("nan"), "")
    try:
        columns = npz_arrays(path, _MOST_BYTES)
    except (OSError, UnpackError) as error:
        raise EventError(f"{path.name}: {error}") from None
    return _true_event(path.name, columns)


def _true_event(name: str, columns: dict[str, np.ndarray]) -> TrueEvent:
    missing = [key for key in (*_ROWS, *_TRUTH) if key not in columns]
    if missing:
        raise EventError(f"{name}: no {', '.join(missing)}")
    truth = _truth(name, columns)
    module = _modules(name, columns)
    seed = np.random.default_rng(zlib.crc32(name.encode()))
    if "charge" in columns:
        event = _of_pulses(name, columns, truth)
    else:
        event = event_of(seed, module, columns["time"].astype(float), truth)
    deposited = float(columns["deposited_gev"]) if "deposited_gev" in columns else float("nan")
    return TrueEvent(event, truth, deposited, str(columns.get("source", "")))


def _truth(name: str, columns: dict[str, np.ndarray]) -> Particle:
    kind = str(columns.get("kind", "track"))
    if kind not in _KINDS:
        raise EventError(f"{name}: kind is one of {', '.join(_KINDS)}, not {kind!r}")
    try:
        zenith, azimuth, x, y, z, time, energy = values = [float(columns[key]) for key in _TRUTH]
    except (TypeError, ValueError):
        raise EventError(f"{name}: {', '.join(_TRUTH)} must be numbers") from None
    if not np.isfinite(values).all():
        raise EventError(f"{name}: {', '.join(_TRUTH)} must be finite")
    return Particle(zenith, azimuth, x, y, z, time, energy, kind)


def _modules(name: str, columns: dict[str, np.ndarray]) -> np.ndarray:
    """Module numbers (string-1)·60 + om-1 of the rows."""
    string, om, time = (columns[key] for key in _ROWS)
    if not string.shape == om.shape == time.shape or string.ndim != 1 or not 0 < len(time) <= _MOST_ROWS:
        raise EventError(f"{name}: string, om and time must be equally long lists, 1 to {_MOST_ROWS} rows")
    inside = (string >= 1) & (string <= STRINGS) & (om >= 1) & (om <= DOMS_PER_STRING) & np.isfinite(time)
    if not inside.all():
        raise EventError(f"{name}: row {int(np.argmin(inside))} has no module or time of the detector")
    return (string.astype(np.int64) - 1) * DOMS_PER_STRING + om - 1


def _of_pulses(name: str, columns: dict[str, np.ndarray], truth: Particle) -> Event:
    if "flags" not in columns or not len(columns["charge"]) == len(columns["flags"]) == len(columns["time"]):
        raise EventError(f"{name}: pulses need charge and flags, as many as times")
    inside = (columns["time"] >= 0.0) & (columns["time"] < READOUT)
    order = np.lexsort((columns["time"], columns["om"], columns["string"]))
    order = order[inside[order]]
    pulses = Pulses(columns["string"][order].astype(np.int16), columns["om"][order].astype(np.int16),
                    columns["time"][order].astype(float), columns["charge"][order].astype(np.float32),
                    np.full(len(order), _PULSE_WIDTH, np.float32), columns["flags"][order].astype(np.uint8))
    return Event(0, 0, 0, "neutrino", DEFAULT_MJD, False, pulses, clean(pulses, dom_positions()), {}, truth)
