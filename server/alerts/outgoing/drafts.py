"""What a notice says: the terms of GCN's unified schema, a multi-order FITS file to match, a circular's text.

The schema is github.com/nasa-gcn/gcn-schema, version 7.2.1: gcn/notices/neutrino/Alert. It permits further
names; ours are the areas, their level set and the reconstruction, so that nobody has to guess.
"""

from __future__ import annotations

import gzip
import io
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from astropy.io import fits

from scanner.maps import products
from scanner.maps.extents import extent
from scanner.maps.level_sets import default_levels
from scanner.maps.posterior import Posterior
from scanner.maps.result import ScanResult
from scanner.maps.skymap import SkyMap
from scanner.recos.recos import UnknownReco, find_reco

__all__ = ["Draft", "Subject", "circular_of_map", "of_map", "of_retraction", "timestamp"]

_TAKEN = ("messenger", "number_of_events", "ra", "dec", "ra_dec_error", "containment_probability",
          "systematic_included", "additional_info", "trigger_time", "levels", "area_90_deg2",
          "reconstruction")


@dataclass(frozen=True)
class Subject:
    """What a notice is about, beside the map."""

    event_name: str
    event_id: str  # such as 138632_31747601
    alert_type: str  # initial, update or retraction
    record_number: int  # from 1, of this event
    mission: str
    instrument: str
    pipeline: str
    is_test: bool
    is_live: bool  # the event is of today; else archival
    extras: dict[str, float]  # p_astro, far
    mjd: float = 0.0

    @property
    def tense(self) -> str:
        """A word of the schema."""
        return "test" if self.is_test else "current" if self.is_live else "archival"

    def head(self) -> dict[str, Any]:
        """What every notice of it begins with."""
        return {"$schema": products.GCN_SCHEMA, "mission": self.mission, "instrument": self.instrument,
                "messenger": "Neutrino", "pipeline": self.pipeline, "record_number": self.record_number,
                "event_name": [self.event_name], "id": [self.event_id],
                "alert_datetime": timestamp(time.time()), "alert_type": self.alert_type,
                "alert_tense": self.tense}


@dataclass(frozen=True)
class Draft:
    """A notice before it has a number of its own: document, sky map (FITS, gzip) and circular."""

    document: dict[str, Any]
    skymap: bytes | None
    circular: str


def of_map(result: ScanResult, subject: Subject, known: Sequence[str] = ()) -> Draft:
    """The notice of a finished map, with lines on known sources for its circular. Raises EmptyMapError."""
    document = _document(result, subject)
    skymap = gzip.compress(_named(products.multiorder_fits(result), subject), 1, mtime=0)
    return Draft(document, skymap, _circular(document, subject, result, known))


def circular_of_map(result: ScanResult, subject: Subject, known: Sequence[str] = ()) -> str:
    """The circular of that notice alone. Raises EmptyMapError."""
    return _circular(_document(result, subject), subject, result, known)


def _document(result: ScanResult, subject: Subject) -> dict[str, Any]:
    """A notice without its sky map."""
    position = products.gcn_json(result)
    summary = products.summary(result)
    document = subject.head() | {name: position[name] for name in _TAKEN if name in position}
    document["area_50_deg2"] = summary["area_deg2"]["0.5"]
    document |= subject.extras | _topology(result)
    if result.energy is not None:
        document["event_energy"] = result.energy.document()
        if result.energy.neutrino is not None:
            document["nu_energy"] = round(result.energy.neutrino.gev / 1e3, 2)  # TeV, as IceCube's notices
    return document


def of_retraction(subject: Subject, reason: str) -> Draft:
    """The notice that withdraws an event."""
    text = f"{subject.event_name} is withdrawn: {reason}"
    document = subject.head() | {"additional_info": text}
    if subject.mjd > 0:
        document["trigger_time"] = timestamp((subject.mjd - 40587) * 86400)
    circular = (f"SUBJECT: {subject.event_name}: retraction\n\n{text}\n\n"
                "No position that was told of this event before should be followed up.\n")
    return Draft(document, None, _marked(circular, subject))


def timestamp(seconds: float) -> str:
    """A time (seconds since 1970) as GCN writes it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _topology(result: ScanResult) -> dict[str, str]:
    try:
        reco = find_reco(result.method.reco).name
    except UnknownReco:
        return {}
    return {"alert_topology": "Shower" if reco.startswith("cascade") else "Track"}


def _named(data: bytes, subject: Subject) -> bytes:
    """The same FITS file with the notice's names in its header."""
    with fits.open(io.BytesIO(data)) as units:
        header = units[1].header
        header["OBJECT"] = subject.event_name, "name of the event"
        header["ALERTTYP"] = subject.alert_type, "initial or update"
        header["RECORD"] = subject.record_number, "number of the notice, from 1"
        header["TENSE"] = subject.tense, "current, archival or test"
        file = io.BytesIO()
        units.writeto(file)
    return file.getvalue()


def _errors(result: ScanResult) -> tuple[str, str]:
    """How far the 90 % region reaches in right ascension and declination, as circulars write it."""
    skymap = SkyMap.from_results(result.pixels)
    posterior = Posterior.of(skymap, default_levels(result.method.reco))
    found = extent(posterior, 0.9, skymap.best_fit)
    ra = "" if found.ra_plus is None else f" (+{found.ra_plus:.2f}/-{found.ra_minus:.2f}, 90 %)"
    return ra, f" (+{found.dec_plus:.2f}/-{found.dec_minus:.2f}, 90 %)"


def _circular(document: dict[str, Any], subject: Subject, result: ScanResult, known: Sequence[str]) -> str:
    """The draft of a circular, for people to complete."""
    energy, (ra_errors, dec_errors) = str(result.energy or ""), _errors(result)
    kind = "a candidate" if subject.alert_type == "initial" else "a refined direction of a"
    error, trigger = document["ra_dec_error"], document.get("trigger_time", "an unknown time")
    lines = [
        f"SUBJECT: {subject.event_name}: {subject.mission} observation of {kind} high-energy neutrino", "",
        f"On {trigger}, {subject.mission} detected {kind} high-energy neutrino event "
        f"({document.get('alert_topology', 'event').lower()}, {subject.pipeline}).", "",
        f"RA (J2000):  {document['ra']:.3f}{ra_errors} deg",
        f"Dec (J2000): {document['dec']:+.3f}{dec_errors} deg",
        f"90 % region: {document['area_90_deg2']:.3g} deg2 (as large as a circle of {error:.2f} deg); 50 %: "
        f"{document['area_50_deg2']:.3g} deg2; regions by {document['levels']}, "
        f"systematics {'included' if document['systematic_included'] else 'not included'}.",
        f"Reconstruction: {document['reconstruction']}.", *([f"Energy: {energy}."] if energy else []),
        *([f"Signalness: {document['p_astro']:.2f}."] if "p_astro" in document else []),
        *([f"False alarm rate: {document['far']:.2e} Hz."] if "far" in document else []), "",
        *known, "",
        "Follow-up observations are encouraged.", ""]
    return _marked("\n".join(lines), subject)


def _marked(text: str, subject: Subject) -> str:
    return f"THIS IS A TEST. IT IS NO OBSERVATION.\n\n{text}" if subject.is_test else text
