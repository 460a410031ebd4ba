"""How directions and times are written for astronomers: degrees with errors, sexagesimal, UTC and MJD."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from server.web.common import show

__all__ = ["degrees", "sexagesimal", "texts", "utc_of_mjd", "with_errors"]

_MINUS, _NOTHING = "\u2212", "–"


def sexagesimal(ra_deg: float, dec_deg: float) -> str:
    """Such as ``17h 24m 06.1s +05° 42′ 36″``."""
    tenths = round(ra_deg % 360.0 / 15.0 * 36000.0) % 864000
    seconds = round(abs(dec_deg) * 3600.0)
    sign = _MINUS if dec_deg < 0 and seconds else "+"
    return (f"{tenths // 36000:02d}h {tenths // 600 % 60:02d}m {tenths % 600 / 10:04.1f}s "
            f"{sign}{seconds // 3600:02d}° {seconds // 60 % 60:02d}′ {seconds % 60:02d}″")


def degrees(value: float, digits: int = 3, signed: bool = False) -> str:
    """An angle, its sign a minus and no hyphen."""
    return f"{value:{'+' if signed else ''}.{digits}f}°".replace("-", _MINUS)


def with_errors(value: float, plus: float | None, minus: float | None, signed: bool = False) -> str:
    """An angle as ``77.43° (+1.14/−1.31)``, with as many digits as its errors deserve."""
    if plus is None or minus is None:
        return degrees(value, 2, signed)
    digits = _digits(min(plus, minus))
    return f"{degrees(value, digits, signed)} (+{plus:.{digits}f}/{_MINUS}{minus:.{digits}f})"


def _digits(error: float) -> int:
    """Decimals so that an error has two significant digits, from 2 to 4."""
    return min(max(1 - math.floor(math.log10(error)), 2), 4) if error > 0 else 4


def utc_of_mjd(mjd: float) -> str:
    """Such as ``2023-12-02 17:08:24.093``; empty for what is no day of this or the last century."""
    if not 0 < mjd < 2_973_483:
        return ""
    moment = datetime(1858, 11, 17, tzinfo=UTC) + timedelta(days=mjd)
    return moment.isoformat(" ", "milliseconds").removesuffix("+00:00")


def texts(view: Mapping[str, Any]) -> dict[str, str]:
    """What a page says of a map, by the places where it says it (`data-show`)."""
    best = view["best_fit"]
    found = {"energy": view["energy"]["text"] if view["energy"] else _NOTHING,
             "llh": f"{best['llh']:.2f}" if best else _NOTHING,
             "sexagesimal": sexagesimal(best["ra_deg"], best["dec_deg"]) if best else _NOTHING}
    found |= _direction(best, view.get("errors_90"))
    for percent in ("50", "90"):
        found[f"area{percent}"] = show.number(view[f"area_{percent}_deg2"], 4, "deg²")
        notes = filter(None, [view["level_set"], view[f"area_{percent}_limits"]])
        found[f"note{percent}"] = ", ".join(notes)
    return found | {f"compared-{one['kind']}": _compared(one) for one in view.get("compared", [])}


def _direction(best: Mapping[str, Any] | None, errors: Mapping[str, Any] | None) -> dict[str, str]:
    if best is None:
        return {"ra": _NOTHING, "dec": _NOTHING}
    known = errors or dict.fromkeys(("ra_plus", "ra_minus", "dec_plus", "dec_minus"))
    return {"ra": with_errors(best["ra_deg"], known["ra_plus"], known["ra_minus"]),
            "dec": with_errors(best["dec_deg"], known["dec_plus"], known["dec_minus"], signed=True)}


def _compared(one: Mapping[str, Any]) -> str:
    within = f"inside the {100 * one['within']:g} % region" if one["within"] else "outside the 90 % region"
    return f"{one['distance_deg']:.3g}° from the best fit, {within}"
