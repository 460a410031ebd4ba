"""Standard stars that a night's schedule may hold besides its targets.

ESO: the southern spectrophotometric standards of Hamuy et al. (1992, PASP 104, 533; 1994, PASP 106, 566), as
M. Hamuy lists them for observers: equinox 2000, V magnitudes. Some move by an arcsecond in a few years.
ZTF: the northern ones that ZTF's transients are observed with, of Oke (1990, AJ 99, 1621).
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
    _star("LTT 377", "00:41:46.6", "-33:39:10", 11.23),
    _star("LTT 1020", "01:54:49.7", "-27:28:29", 11.52),
    _star("EG 21", "03:10:30.4", "-68:36:05", 11.38),
    _star("LTT 1788", "03:48:22.2", "-39:08:35", 13.15),
    _star("LTT 2415", "05:56:24.2", "-27:51:26", 12.21),
    _star("Hiltner 600", "06:45:13.5", "+02:08:15", 10.44),
    _star("LTT 3218", "08:41:33.6", "-32:56:55", 11.86),
    _star("LTT 3864", "10:32:13.8", "-35:37:42", 12.17),
    _star("LTT 4364", "11:45:36.6", "-64:50:24", 11.50),
    _star("Feige 56", "12:06:39.7", "+11:40:39", 11.06),
    _star("LTT 4816", "12:38:50.7", "-49:47:58", 13.79),
    _star("CD-32 9927", "14:11:46.3", "-33:03:15", 10.45),
    _star("LTT 6248", "15:38:59.8", "-28:35:34", 11.80),
    _star("EG 274", "16:23:33.7", "-39:13:48", 11.03),
    _star("LTT 7379", "18:36:26.2", "-44:18:37", 10.22),
    _star("LTT 7987", "20:10:57.1", "-30:13:03", 12.23),
    _star("LTT 9239", "22:52:40.9", "-20:35:27", 12.07),
    _star("Feige 110", "23:19:58.3", "-05:09:56", 11.83),
    _star("LTT 9491", "23:19:35.2", "-17:05:28", 14.11)], "ZTF": [
    _star("G191-B2B", "05:05:30.6", "+52:49:54", 11.78),
    _star("Feige 34", "10:39:36.7", "+43:06:10", 11.18),
    _star("Feige 67", "12:41:51.8", "+17:31:20", 11.81),
    _star("BD+33 2642", "15:51:59.9", "+32:56:55", 10.81),
    _star("BD+28 4211", "21:51:11.1", "+28:51:52", 10.51),
    _star("Feige 110", "23:19:58.4", "-05:09:56", 11.82)]}
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
