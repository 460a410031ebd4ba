"""The reconstructions that a scan can use, by name, and what each of them offers.

A reconstruction turns an event into arrays once (`Reco.prepare`) and then answers pixel after pixel. The
result of a pixel depends on the event, its direction and its seed alone: batches may be cut in any way.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from config.ice import ANISOTROPIC_ICE, ENERGY_ICE, ICE_MODELS, TRACK_ICE
from scanner.common.errors import EventError, ScannerError
from scanner.events.event import Event, Pulses
from scanner.machine.entry import Entry
from scanner.maps.result import PIXEL_DTYPE, Method
from scanner.recos.auto import Auto
from scanner.recos.cascade import FIT_SHOWER, Cascade
from scanner.recos.millipede import FIT_LOSSES, Millipede
from scanner.recos.track.reco import FIT_FIRST, FIT_MPE, Track, TrackMPE

__all__ = ["ALIASES", "ENTRIES", "FITS", "IN_OTHER_ICE", "PIXEL_DTYPE", "RECOS", "Reco", "UnknownReco",
           "find_reco", "in_every_ice", "is_choice", "method_of", "run_through", "warm_up", "why_not"]


class Reco(Protocol):
    """What the pixel worker needs of a reconstruction."""

    name: str
    description: str
    cost: str  # CPU time per pixel relative to `track_mpe`, told to users

    def check(self, event: Event) -> None:
        """Raises `scanner.common.errors.EventError` if the event is unusable; quick, without a kernel."""

    def prepare(self, event: Event) -> Any:
        """The event's arrays, kept warm by the worker; raises `EventError` if unusable."""

    def reconstruct(
        self, prepared: Any, zenith: np.ndarray, azimuth: np.ndarray, seeds: np.ndarray | None = None
    ) -> np.ndarray:
        """Fit n directions (rad, shape (n,)); seeds are the parents' rows or None; PIXEL_DTYPE of shape (n,).

        The index is −1 in every row: the caller knows which pixels it asked for.
        """


_AUTO = Auto()
_ENERGY_MODELS = (*ICE_MODELS, ANISOTROPIC_ICE)
"""Times of tracks hardly depend on absorption, so their fits have no use for its anisotropy."""
_KINDS = ((Track, TRACK_ICE, ICE_MODELS), (TrackMPE, TRACK_ICE, ICE_MODELS),
          (Cascade, ENERGY_ICE, _ENERGY_MODELS), (Millipede, ENERGY_ICE, _ENERGY_MODELS))
_OTHER_ICE: list[Reco] = [kind(ice) for kind, usual, models in _KINDS for ice in models if ice != usual]
_ALL: list[Reco] = [Track(), TrackMPE(), Cascade(), Millipede(), _AUTO]
RECOS: Mapping[str, Reco] = MappingProxyType({reco.name: reco for reco in _ALL})
IN_OTHER_ICE: Mapping[str, Reco] = MappingProxyType({reco.name: reco for reco in _OTHER_ICE})
"""The fits in another ice than usual: how far apart two directions are tells what the ice does."""
_ICE = {kind.name: (usual, models) for kind, usual, models in _KINDS}
ALIASES: Mapping[str, str] = MappingProxyType({
    "splinempe": "track_mpe", "splinempe_pointed": "track_mpe",
    "millipede_original": "millipede", "millipede_wilks": "millipede",
})
"""SkyDriver's names of the official algorithms, and which of ours stands in for each."""


class UnknownReco(ScannerError):
    """No reconstruction has this name."""

    def __init__(self, name: str) -> None:
        near = difflib.get_close_matches(name, [*RECOS, *ALIASES, *IN_OTHER_ICE], n=1, cutoff=0.0)[0]
        super().__init__(f"unknown reconstruction {name!r}; did you mean {near!r}? Known: {', '.join(RECOS)}")


def find_reco(name: str) -> Reco:
    """The reconstruction of this name, of SkyDriver's name for it or in another ice; raises UnknownReco."""
    try:
        return IN_OTHER_ICE.get(name) or RECOS[ALIASES.get(name, name)]
    except KeyError:
        raise UnknownReco(name) from None


def in_every_ice(name: str) -> dict[str, str]:
    """Ice model → name of the same reconstruction in it, that of its usual ice first; raises UnknownReco."""
    base = find_reco(name).name.partition(".")[0]
    usual, models = _ICE[base]
    return {usual: base, **{ice: f"{base}.{ice}" for ice in models if ice != usual}}


def is_choice(name: str) -> bool:
    """Whether what computes under this name depends on the event; raises UnknownReco."""
    return find_reco(name).name == _AUTO.name


def method_of(name: str, event: Event | None = None) -> Method:
    """What is asked for by a name and what computes then; for `auto` that needs the event.

    Raises UnknownReco, and EventError when the event cannot be used.
    """
    reco = find_reco(name).name
    if event is not None and is_choice(name):
        reco = _AUTO.chosen(event)
    return Method(name, reco)


def why_not(name: str, event: Event) -> str | None:
    """Why a reconstruction cannot use an event; None when it can. Raises UnknownReco."""
    try:
        find_reco(name).check(event)
    except EventError as error:
        return error.reason
    return None


FITS = (Track.name, TrackMPE.name, Cascade.name, Millipede.name)
"""The reconstructions that have compiled code of their own; most used ones first."""
ENTRIES: Mapping[str, Entry] = MappingProxyType({
    fit.name: fit for fit in (FIT_FIRST, FIT_MPE, FIT_SHOWER, FIT_LOSSES)})
_PARTS = {"auto": ("track", "cascade"), "millipede": ("track_mpe", "cascade", "millipede")}
"""What a reconstruction runs that is not, or not only, its own."""


def warm_up(name: str) -> None:
    """Load what a reconstruction computes with: a first pixel then costs as much as a second.

    Where it was never compiled that takes a few seconds, once on a machine.
    """
    base = name.partition(".")[0]
    for part in _PARTS.get(base, (base,)):
        ENTRIES[part].load()


def run_through(reco: Reco) -> None:
    """Fit a pixel without and one with a seed."""
    prepared = reco.prepare(_smallest_event())
    pixel = reco.reconstruct(prepared, np.array([1.0]), np.array([1.0]), None)
    reco.reconstruct(prepared, np.array([1.0]), np.array([1.0]), pixel)


def _smallest_event() -> Event:
    """A few pulses on one string: enough to run through every kernel."""
    n = 8
    pulses = Pulses(np.full(n, 36, np.int16), np.arange(20, 20 + n, dtype=np.int16), 60.0 * np.arange(n),
                    np.full(n, 2.0, np.float32), np.full(n, 10.0, np.float32), np.ones(n, np.uint8))
    return Event(0, 0, 0, "warm-up", 60000.0, False, pulses, pulses)
