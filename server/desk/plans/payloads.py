"""What an observation plan is asked for, and an efficiency: their payloads, with SkyPortal's names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec

from config.json_text import without_gaps
from server.common.errors import BadRequest
from server.desk.common.bodies import Text
from server.desk.common.dates import parse_date

__all__ = ["EfficiencyPayload", "PlanPayload", "Window", "read_efficiency", "read_plan", "window_of"]

LONGEST = timedelta(days=7)

Number = int | float


def _within(least: float, most: float) -> Any:
    return msgspec.Meta(ge=least, le=most)


class PlanPayload(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A plan: filters in their order with commas, exposures in seconds, gaps in minutes, probability in %."""

    filters: Annotated[str, msgspec.Meta(min_length=1, max_length=500)]
    filter_strategy: Literal["block", "integrated"] = "block"
    schedule_strategy: Literal["tiling"] = "tiling"
    schedule_type: Literal["greedy", "greedy_slew", "airmass_weighted"] = "greedy"
    exposure_time: Annotated[float, _within(1, 7200)] = 300.0
    maximum_airmass: Annotated[float, _within(1, 5)] = 2.0
    integrated_probability: Annotated[float, _within(1, 100)] = 90.0
    minimum_time_difference: Annotated[float, _within(0, 1440)] = 30.0
    program_id: Text | None = None
    subprogram_name: Text | None = None
    queue_name: Text | None = None
    start_date: Text | None = None
    end_date: Text | None = None

    @property
    def bands(self) -> list[str]:
        return [part.strip() for part in self.filters.split(",") if part.strip()]


class EfficiencyPayload(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A simulation: sources, how they fade, and what counts as found."""

    modelName: Literal["kilonova", "afterglow", "linear", "constant"] = "kilonova"
    numberInjections: Annotated[int, _within(10, 5000)] = 1000
    numberDetections: Annotated[int, _within(1, 100)] = 1
    detectionThreshold: Annotated[float, _within(1, 50)] = 5.0
    minimumPhase: Annotated[float, _within(0, 365)] = 0.0
    maximumPhase: Annotated[float, _within(0, 365)] = 3.0
    optionalInjectionParameters: dict[str, Number] = msgspec.field(default_factory=dict)
    localizationCumprob: Annotated[float, _within(0.01, 1)] = 0.99


def read_plan(payload: Any, instrument: Mapping[str, Any]) -> PlanPayload:
    """A plan's payload for an instrument. Raises BadRequest."""
    plan = _read(payload, PlanPayload)
    if not 0 < len(plan.bands) <= 10:
        raise BadRequest("payload: filters: name 1 to 10 filters with commas between")
    known = instrument.get("filters") or []
    if foreign := [band for band in plan.bands if band not in known]:
        raise BadRequest(f"payload: filters: the instrument has no filter {foreign[0][:40]!r}, only "
                         f"{', '.join(known) or 'none'}")
    if instrument.get("api_classname_obsplan") is None:
        raise BadRequest("this instrument takes no observation plans: it has no api_classname_obsplan")
    return plan


def read_efficiency(payload: Any) -> EfficiencyPayload:
    """An efficiency's payload. Raises BadRequest."""
    wanted = _read(payload, EfficiencyPayload)
    allowed = {"mag0", "rate", "distance"}
    if unknown := set(wanted.optionalInjectionParameters) - allowed:
        raise BadRequest(f"payload: optionalInjectionParameters: {min(unknown)[:40]!r} is none of "
                         f"{', '.join(sorted(allowed))}")
    _check_parameters(wanted.optionalInjectionParameters)
    return wanted


def _check_parameters(given: Mapping[str, Number]) -> None:
    limits = {"mag0": (-30.0, 0.0), "rate": (-20.0, 20.0), "distance": (0.001, 100_000.0)}
    for name, value in given.items():
        least, most = limits[name]
        if not least <= value <= most:
            raise BadRequest(f"payload: optionalInjectionParameters: {name}: from {least:g} to {most:g}")


def _read(payload: Any, kind: Any) -> Any:
    if not isinstance(payload, Mapping):
        raise BadRequest("payload: must be an object")
    try:
        return msgspec.convert(without_gaps(dict(payload)), kind)
    except msgspec.ValidationError as error:
        raise BadRequest(f"payload: {error}") from None


Window = tuple[datetime, datetime]


def window_of(plan: PlanPayload, moment: datetime) -> Window:
    """From when until when is planned; a day from now unless something is said. Raises BadRequest."""
    start = moment if plan.start_date is None else parse_date(plan.start_date, "start_date")
    end = start + timedelta(days=1) if plan.end_date is None else parse_date(plan.end_date, "end_date")
    if not 1970 <= start.year < 2100:
        raise BadRequest("payload: start_date: plans are made from 1970 to 2099")
    if not start < end <= start + LONGEST:
        raise BadRequest(f"payload: end_date: must be after start_date, by {LONGEST.days} days at most")
    return start, end
