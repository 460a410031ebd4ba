"""The energy of an event as results and products tell it: with its errors, and what it is the energy of.

A muon's is that where it enters the detector, a shower's what it deposited, that of losses their sum along
the track; for a muon there is the most probable energy of its neutrino as well, under a stated spectrum.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["KINDS", "EventEnergy", "NeutrinoEnergy"]

KINDS = {"muon": "of the muon where it enters", "shower": "deposited by a shower",
         "losses": "lost along the track"}
_NUMBERS = ("energy_gev", "energy_low_gev", "energy_high_gev", "neutrino_gev", "neutrino_low_gev",
            "neutrino_high_gev", "neutrino_spectrum")


class NeutrinoEnergy(msgspec.Struct, frozen=True):
    """The most probable energy of the neutrino behind a muon, and its central 90 % interval."""

    gev: float
    low_gev: float
    high_gev: float
    spectrum: float  # index of the power law that is assumed


class EventEnergy(msgspec.Struct, frozen=True):
    """What was seen of an event's energy, with its 68 % interval, None where it is not known."""

    kind: str  # one of KINDS
    gev: float
    low_gev: float | None = None
    high_gev: float | None = None
    neutrino: NeutrinoEnergy | None = None

    def __str__(self) -> str:
        """For people, such as ``4.1 TeV (3.5 TeV … 4.8 TeV) deposited by a shower``."""
        errors = (f" ({_unit(self.low_gev)} … {_unit(self.high_gev)})"
                  if self.low_gev is not None and self.high_gev is not None else "")
        seen = f"{_unit(self.gev)}{errors}"
        text = f"muon {seen}" if self.kind == "muon" else f"{seen} {KINDS[self.kind]}"
        if self.neutrino is None:
            return text
        nu = self.neutrino
        return (f"{text}; neutrino most probably {_unit(nu.gev)} (90 %: {_unit(nu.low_gev)} … "
                f"{_unit(nu.high_gev)}, for a spectrum E^−{nu.spectrum:g})")

    def document(self) -> dict[str, Any]:
        """As JSON: the numbers, and `text` for people."""
        return {**msgspec.to_builtins(self), "text": str(self)}

    def header(self) -> dict[str, str | float]:
        """The flat entries that a result's header has of it; NaN where something is not known."""
        nu = self.neutrino
        values = (self.gev, self.low_gev, self.high_gev,
                  *((nu.gev, nu.low_gev, nu.high_gev, nu.spectrum) if nu else (None,) * 4))
        return {"energy_kind": self.kind,
                **{name: math.nan if value is None else float(value)
                   for name, value in zip(_NUMBERS, values, strict=True)}}

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> EventEnergy | None:
        """What `header` wrote; None where there is no energy. Raises ValueError for other values."""
        kind = header.get("energy_kind", "")
        if kind == "":
            return None
        if kind not in KINDS:
            raise ValueError(f"metadata.energy_kind: must be one of {', '.join(KINDS)}, not {kind!r}")
        gev, low, high, *nu = (_number(header, name) for name in _NUMBERS)
        if gev is None:
            raise ValueError("metadata.energy_gev: must be a number beside energy_kind")
        told = [value for value in nu if value is not None]
        return cls(kind, gev, low, high, NeutrinoEnergy(*told) if len(told) == len(nu) else None)


def _number(header: Mapping[str, Any], name: str) -> float | None:
    value = header.get(name, math.nan)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise ValueError(f"metadata.{name}: must be a positive number, not {value!r}")
    return float(value) if math.isfinite(value) else None


def _unit(gev: float) -> str:
    """An energy to two digits, such as ``120 TeV``."""
    name, size = ("PeV", 1e6) if gev >= 1e6 else ("TeV", 1e3) if gev >= 1e3 else ("GeV", 1.0)
    return f"{float(f'{gev / size:.2g}'):g} {name}"
