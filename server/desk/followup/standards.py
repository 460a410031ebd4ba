"""Standard stars that a night's schedule may hold besides its targets.

ESO: spectrophotometric standards of Hamuy et al. (1992), PASP 104, 533 and (1994), PASP 106, 566, and of Oke
(1990), AJ 99, 1621, as ESO lists them; positions ICRS in degrees (to an arcsecond), V magnitudes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from server.common.errors import BadRequest

__all__ = ["STANDARDS", "Standard", "magnitude_range", "standards"]

_RANGE = re.compile(r"\s*[(\[]?\s*(-?[\d.]{1,12})\s*,\s*(-?[\d.]{1,12})\s*[)\]]?\s*")


@dataclass(frozen=True)
class Standard:
    """A star of known brightness."""

    name: str
    ra: float
    dec: float
    magnitude: float


def _star(name: str, ra: str, dec: str, magnitude: float) -> Standard:
    hours, minutes, seconds = (float(part) for part in ra.split(":"))
    sign = -1.0 if dec.startswith("-") else 1.0
    degrees, arcmin, arcsec = (float(part) for part in dec.lstrip("+-").split(":"))
    return Standard(name, 15 * (hours + minutes / 60 + seconds / 3600),
                    sign * (degrees + arcmin / 60 + arcsec / 3600), magnitude)


STANDARDS: dict[str, list[Standard]] = {"ESO": [
    _star("LTT 1020", "01:54:50.3", "-27:28:36", 11.52),
    _star("EG 21", "03:10:31.0", "-68:36:03", 11.38),
    _star("G191-B2B", "05:05:30.6", "+52:49:52", 11.78),
    _star("GD 71", "05:52:27.6", "+15:53:14", 13.03),
    _star("LTT 2415", "05:56:24.7", "-27:51:32", 12.21),
    _star("Hiltner 600", "06:45:13.4", "+02:08:15", 10.44),
    _star("LTT 3218", "08:41:32.4", "-32:56:33", 11.86),
    _star("Feige 34", "10:39:36.7", "+43:06:09", 11.18),
    _star("GD 153", "12:57:02.3", "+22:01:53", 13.35),
    _star("HZ 44", "13:23:35.3", "+36:08:00", 11.67),
    _star("CD-32 9927", "14:11:46.3", "-33:03:14", 10.42),
    _star("LTT 6248", "15:38:59.6", "-28:35:37", 11.80),
    _star("BD+33 2642", "15:51:59.9", "+32:56:54", 10.83),
    _star("EG 274", "16:23:33.8", "-39:13:46", 11.03),
    _star("BD+28 4211", "21:51:11.0", "+28:51:50", 10.51),
    _star("LTT 9239", "22:52:41.0", "-20:35:33", 12.07),
    _star("Feige 110", "23:19:58.4", "-05:09:56", 11.83)]}
"""Standard stars by the name of their list."""


def magnitude_range(text: str | None) -> tuple[float, float] | None:
    """Faint and bright limit of ``(faint, bright)``; None when absent. Raises BadRequest."""
    if text is None:
        return None
    found = _RANGE.fullmatch(text)
    try:
        faint, bright = (float(part) for part in found.groups()) if found else (0.0, 1.0)
    except ValueError:
        faint, bright = 0.0, 1.0
    if faint < bright:
        raise BadRequest(f"magnitudeRange: must be two magnitudes (faint, bright), not {text[:40]!r}")
    return faint, bright


def standards(kind: str, limits: tuple[float, float] | None) -> list[Standard]:
    """The stars of a list, within limits of magnitude. Raises BadRequest."""
    if kind not in STANDARDS:
        raise BadRequest(f"standardType: must be one of {', '.join(STANDARDS)}, not {kind[:40]!r}")
    faint, bright = limits or (100.0, -100.0)
    return [star for star in STANDARDS[kind] if bright <= star.magnitude <= faint]
