"""What an instrument sees at once: its field of view, and the fields that it points at if these are fixed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from server.common.errors import BadRequest

__all__ = ["Field", "Footprint", "check", "fields_of", "footprint_of"]

SMALLEST, LARGEST = 1 / 120, 30.0  # degrees
MOST_FIELDS = 20_000

_OF_CLASS = {"ZTFMMAAPI": (7.32, 7.50)}  # Dekany et al. 2020, PASP 132, 038001: 47 deg² with gaps
_USUAL = (1.0, 1.0)


@dataclass(frozen=True)
class Footprint:
    """A rectangle with sides to the east and north, or a circle; degrees."""

    width: float
    height: float
    is_round: bool = False

    @property
    def area(self) -> float:
        """Square degrees, as on a plane."""
        return self.width * self.height * (math.pi / 4 if self.is_round else 1.0)


@dataclass(frozen=True)
class Field:
    """A place that the instrument points at; degrees."""

    number: int
    ra: float
    dec: float


def footprint_of(instrument: Mapping[str, Any]) -> Footprint:
    """An instrument's field of view: its own, else that of its class, else a square degree.

    Raises BadRequest.
    """
    kind, sizes = instrument.get("field_fov_type"), instrument.get("field_fov_attributes")
    if kind is None:
        return Footprint(*_OF_CLASS.get(str(instrument.get("api_classname_obsplan")), _USUAL))
    numbers = [float(size) for size in (sizes if isinstance(sizes, list) else [sizes]) if size is not None]
    if not all(SMALLEST <= size <= LARGEST for size in numbers):
        raise BadRequest(f"field_fov_attributes: from {SMALLEST:.4f} to {LARGEST:g} degrees")
    if kind == "circle" and len(numbers) == 1:
        return Footprint(2 * numbers[0], 2 * numbers[0], is_round=True)
    if kind == "rectangle" and len(numbers) == 2:
        return Footprint(numbers[0], numbers[1])
    raise BadRequest("field_fov_type: circle with a radius, or rectangle with [width, height] in "
                     "field_fov_attributes (degrees)")


def fields_of(instrument: Mapping[str, Any]) -> list[Field]:
    """The fixed fields of an instrument, if it has such: `field_data` with lists ID, RA and Dec.

    Raises BadRequest.
    """
    data = instrument.get("field_data")
    if not data:
        return []
    columns = [data.get(name) for name in ("ID", "RA", "Dec")]
    if not all(isinstance(column, list) for column in columns) or len({*map(len, columns)}) != 1:
        raise BadRequest("field_data: needs lists ID, RA and Dec of one length")
    if len(columns[0]) > MOST_FIELDS:
        raise BadRequest(f"field_data: at most {MOST_FIELDS} fields")
    return [_field(*row) for row in zip(*columns, strict=True)]


def _field(number: Any, ra: Any, dec: Any) -> Field:
    try:
        field = Field(int(number), float(ra), float(dec))
    except (TypeError, ValueError, OverflowError):
        raise BadRequest(f"field_data: no field has {[number, ra, dec]!r:.60}") from None
    if not (0 <= field.ra < 360 and -90 <= field.dec <= 90 and 0 <= field.number < 1 << 53):
        raise BadRequest(f"field_data: no field has RA {ra!r:.20}, Dec {dec!r:.20} and ID {number!r:.20}")
    return field


def check(instrument: Mapping[str, Any]) -> None:
    """Raise BadRequest unless field of view and fields are right."""
    footprint_of(instrument)
    fields_of(instrument)
