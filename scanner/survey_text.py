"""A survey of an event as people read it, and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from scanner.survey import PulseCount, StoredDirection, Survey

__all__ = ["as_document", "as_text"]


def as_document(told: Survey) -> dict[str, Any]:
    """The survey as plain values for JSON; what is not known is null."""
    return {**asdict(told), "can_scan": told.can_scan}


def as_text(told: Survey) -> str:
    """The survey in lines."""
    lines = [told.file, *_facts(told), "pulse maps", *(_pulses(one) for one in told.pulse_maps)]
    lines += ["stored reconstructions", *(_direction(one) for one in told.recos)]
    lines += [f"missing: {text}" for text in told.missing]
    lines += [f"left out: {text}" for text in told.skipped]
    return "\n".join([*lines, *_verdict(told)])


def _facts(told: Survey) -> list[str]:
    kind = {True: "real", False: "simulated", None: "unknown"}[told.is_real]
    run = "unknown" if told.run_id is None else f"{told.run_id} (subrun {told.subrun_id})"
    event = "unknown" if told.event_id is None else str(told.event_id)
    time = f"{told.time} UTC, MJD {told.mjd:.8f}" if told.mjd is not None else "unknown"
    frames = ", ".join(f"{stop} {count}" for stop, count in told.frames.items())
    return [f"  run         {run}", f"  event       {event}, {kind}", f"  time        {time}",
            f"  stream      {told.stream}", f"  generation  {told.generation}",
            f"  objects     {frames}", f"  cleaned     {told.cleaned} pulses"]


def _pulses(one: PulseCount) -> str:
    if one.problem:
        return f"  {one.key:<28} cannot be read: {one.problem}"
    return f"  {one.key:<28} {one.pulses:>6} pulses in {one.modules:>4} modules, {one.charge:.1f} PE"


def _direction(one: StoredDirection) -> str:
    energy = "energy unknown" if one.energy_gev is None else f"{one.energy_gev:.3g} GeV"
    return (f"  {one.key:<28} zenith {one.zenith_deg:8.3f}° azimuth {one.azimuth_deg:8.3f}°  "
            f"RA {one.ra_deg:8.3f}° Dec {one.dec_deg:+8.3f}°  {one.shape}, {energy}")


def _verdict(told: Survey) -> list[str]:
    if not told.can_scan:
        return [f"cannot be scanned: {told.problem}"]
    others = [f"  not with {name}: {reason}" for name, reason in told.not_with.items()]
    return [f"can be scanned with {', '.join(told.scan_with)}", *others]
