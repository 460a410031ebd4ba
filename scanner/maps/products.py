"""What a scan gives to the world: sky map files, regions and outlines that other programs read.

* multi-order FITS with UNIQ and PROBDENSITY, as GCN, LIGO/Virgo/KAGRA, astropy and mocpy read it
  (emfollow.docs.ligo.org/userguide/tutorial/multiorder_skymaps.html);
* a flat FITS map for programs without multi-order support, such as healpy;
* regions as MOC in JSON (IVOA MOC 2.0, section 4.3.2) and in FITS (section 4.3.1);
* outlines as JSON, as GeoJSON and as text;
* the position in the terms of GCN's unified schema (github.com/nasa-gcn/gcn-schema).

Every function takes the scan result and returns the product; ``scanner.maps.catalogue`` names them all. All
areas, outlines and densities are of one calibrated posterior (``scanner.maps.posterior``) by a level set;
without one named, by that of the reconstruction. EmptyMapError while no fit is finite.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from astropy.io import fits

from scanner.maps import healpix
from scanner.maps.energy import KINDS, EventEnergy
from scanner.maps.level_sets import LevelSet, default_levels, level_set
from scanner.maps.posterior import Posterior
from scanner.maps.regions import contours
from scanner.maps.result import ScanResult
from scanner.maps.skymap import BestFit, SkyMap

__all__ = ["GCN_SCHEMA", "contour_geojson", "contour_json", "contour_text", "flat_fits", "gcn_json", "moc",
           "moc_fits", "multiorder_fits", "summary"]

GCN_SCHEMA = "https://gcn.nasa.gov/schema/v7.2.1/gcn/notices/neutrino/Alert.schema.json"

_FLAT_PER_ROW = 1024
_FINEST_FLAT, _USUAL_FLAT = 11, 9
_FLAT_PIXELS = 500  # of a 50 % region: then the 90 % region of a flat map is right to a percent


@dataclass(frozen=True)
class _Map:
    """A result's map with its calibrated posterior."""

    skymap: SkyMap
    posterior: Posterior

    @classmethod
    def of(cls, result: ScanResult, levels: str | None) -> _Map:
        skymap = SkyMap.from_results(result.pixels)
        chosen = level_set(levels) if levels else default_levels(result.method.reco)
        return cls(skymap, Posterior.of(skymap, chosen))

    @property
    def levels(self) -> LevelSet:
        return self.posterior.levels

    @property
    def best(self) -> BestFit:
        return self.skymap.best_fit

    def area(self, level: float) -> float:
        return self.posterior.area(level)

    def limits(self, level: float) -> str:
        """What an area is limited by, in words; empty when by nothing."""
        return ", ".join(self.posterior.limits(level))


def multiorder_fits(result: ScanResult, levels: str | None = None) -> bytes:
    """The map as a FITS table of NUNIQ pixels that cover the whole sky, sorted by UNIQ.

    PROBDENSITY is the calibrated posterior density per steradian (0 where nothing was scanned): its smallest
    region of 90 % is that of the header. DELTA2LLH is −2Δ ln L to the best pixel, interpolated between pixels
    (NaN where nothing was scanned).
    """
    known = _Map.of(result, levels)
    posterior = known.posterior
    empty_order, empty_nested = known.skymap.unscanned()
    uniq = np.concatenate([posterior.uniq, healpix.to_uniq(empty_order, empty_nested)])
    nothing = np.zeros(len(empty_order))
    by_uniq = np.argsort(uniq)
    columns = [
        fits.Column("UNIQ", "K", array=uniq[by_uniq]),
        fits.Column("PROBDENSITY", "D", unit="sr-1",
                    array=np.concatenate([posterior.density_sr, nothing])[by_uniq]),
        fits.Column("DELTA2LLH", "D",
                    array=np.concatenate([posterior.cells.delta, nothing + np.nan])[by_uniq]),
    ]
    table = fits.BinTableHDU.from_columns(columns)
    _describe_pixels(table.header, "NUNIQ", "EXPLICIT")
    table.header["MOCORDER"] = int(posterior.cells.order.max()), "finest order"
    _describe_event(table.header, result, known)
    return _fits_bytes(table)


def flat_fits(result: ScanResult, nside: int | None = None, levels: str | None = None) -> bytes:
    """The probability of each pixel of one nside as a NESTED FITS map; the pixels add up to 1.

    By default nside 512, which makes 12 MB, or as much finer as the 50 % region needs to be some hundred
    pixels; HealpixError above 2048 (200 MB). Prefer the multi-order file where you can.
    """
    known = _Map.of(result, levels)
    order = healpix.order_of(nside) if nside else _flat_order(known)
    if order > _FINEST_FLAT:
        limit = healpix.nside_of(_FINEST_FLAT)
        raise healpix.HealpixError(f"nside: a flat map has at most {limit}, not {nside}")
    per_row = min(_FLAT_PER_ROW, healpix.npix(healpix.nside_of(order)))
    rows = _flat_probability(known.posterior, order).astype(np.float32).reshape(-1, per_row)
    column = fits.Column("PROB", f"{per_row}E", unit="pix-1", array=rows)
    table = fits.BinTableHDU.from_columns([column])
    _describe_pixels(table.header, "NESTED", "IMPLICIT")
    table.header["NSIDE"] = healpix.nside_of(order)
    table.header["FIRSTPIX"] = 0
    table.header["LASTPIX"] = healpix.npix(healpix.nside_of(order)) - 1
    _describe_event(table.header, result, known)
    return _fits_bytes(table)


def _flat_order(known: _Map) -> int:
    """The order at which a flat map shows the regions as they are, as far as its size allows."""
    wanted = np.log2(np.sqrt(healpix.FULL_SKY_DEG2 / 12 * _FLAT_PIXELS / known.area(0.5)))
    usual = min(int(known.skymap.order.max()), _USUAL_FLAT)
    return int(min(max(np.ceil(wanted), usual), _FINEST_FLAT))


def moc(result: ScanResult, level: float = 0.9, levels: str | None = None) -> dict[str, list[int]]:
    """A credible region as a MOC: order → NESTED pixels, four siblings always joined to their parent."""
    return _cells(_Map.of(result, levels).posterior, level)


def _cells(posterior: Posterior, level: float) -> dict[str, list[int]]:
    chosen, cells = posterior.inside(level), posterior.cells
    deeper = np.empty(0, dtype=np.int64)
    found: dict[str, list[int]] = {}
    for order in range(int(cells.order.max()), -1, -1):
        here = np.union1d(cells.nested[chosen & (cells.order == order)], deeper)
        parents, counts = np.unique(here >> 2, return_counts=True)
        deeper = parents[counts == 4] if order else parents[:0]
        alone = here[~np.isin(here >> 2, deeper)] if order else here
        if len(alone):
            found[str(order)] = alone.tolist()
    return dict(sorted(found.items(), key=lambda item: int(item[0])))


def moc_fits(result: ScanResult, level: float = 0.9, levels: str | None = None) -> bytes:
    """The same region as a FITS table of NUNIQ numbers, with the event and the level set in its header."""
    known = _Map.of(result, levels)
    cells = [4 ** (int(order) + 1) + pixel for order, pixels in _cells(known.posterior, level).items()
             for pixel in pixels]
    table = fits.BinTableHDU.from_columns([fits.Column("UNIQ", "K", array=np.array(cells, dtype=np.int64))])
    header = table.header
    header["EXTNAME"] = "MOC"
    header["MOCVERS"], header["MOCDIM"] = "2.0", "SPACE"
    header["ORDERING"], header["COORDSYS"] = "NUNIQ", "C"
    header["MOCORD_S"] = int(known.posterior.cells.order.max()), "finest order"
    header["LEVEL"] = level, "credible level"
    _describe_event(header, result, known)
    return _fits_bytes(table)


def contour_json(result: ScanResult, levels: str | None = None) -> dict[str, Any]:
    """The outlines of all credible regions of a level set, with their areas.

    Rings are closed lists of [ra, dec] in degrees (ICRS); islands run counter-clockwise seen from
    outside the sphere, holes clockwise. `limits` says what an area is limited by.
    """
    known = _Map.of(result, levels)
    regions = [{"level": level, "threshold": threshold, "area_deg2": known.area(level),
                "limits": known.limits(level),
                "rings": [np.round(ring, 6).tolist() for ring in contours(known.posterior, level)]}
               for level, threshold in known.levels.thresholds.items()]
    return {**_event(result), "frame": "ICRS", "unit": "deg", "levels": known.levels.name,
            "caution": known.levels.caution, "regions": regions}


def contour_geojson(result: ScanResult, levels: str | None = None) -> dict[str, Any]:
    """The same outlines as a FeatureCollection for map software (RFC 7946, but of the sky).

    Each region is a MultiLineString of closed rings; right ascension takes the place of longitude and
    counts from -180, and a line is cut where it crosses 180, as the RFC asks.
    """
    document = contour_json(result, levels)
    features = [{
        "type": "Feature",
        "properties": {**{name: region[name] for name in ("level", "threshold", "area_deg2", "limits")},
                       "levels": document["levels"], **_origin(result)},
        "geometry": {"type": "MultiLineString",
                     "coordinates": [line for ring in region["rings"] for line in _cut_at_180(ring)]},
    } for region in document["regions"]]
    return {"type": "FeatureCollection", **_event(result), "levels": document["levels"], "frame": "ICRS",
            "caution": document["caution"], "complete": result.complete, "features": features}


def _cut_at_180(ring: list[list[float]]) -> list[list[list[float]]]:
    """Lines with longitudes from -180 to 180 that together follow the ring."""
    lines: list[list[list[float]]] = [[]]
    for ra, dec in ring:
        point = [ra - 360.0 if ra > 180.0 else ra, dec]
        if lines[-1] and abs(point[0] - lines[-1][-1][0]) > 180.0:
            before = lines[-1][-1]
            edge = 180.0 if before[0] > 0 else -180.0
            near, far = edge - before[0], point[0] + edge
            middle = before[1] + (dec - before[1]) * (near / (near + far) if near + far else 0.5)
            lines[-1].append([edge, round(middle, 6)])
            lines.append([[-edge, round(middle, 6)]])
        lines[-1].append([round(point[0], 6), dec])
    return [line for line in lines if len(line) > 1]


def gcn_json(result: ScanResult, levels: str | None = None) -> dict[str, Any]:
    """The position in the terms of GCN's neutrino alerts; no alert by itself, since nobody judged it.

    Names, types and words are those of version 7.2.1 of the schema. ``ra_dec_error`` is the radius of the
    circle that is as large as the 90 % region, in degrees. The schema has no name for an energy:
    ``event_energy`` is ours, in GeV.
    """
    known, metadata = _Map.of(result, levels), result.metadata
    best, size = known.best, known.area(0.9)
    share = min(size / healpix.FULL_SKY_DEG2, 1.0)
    document = {
        "$schema": GCN_SCHEMA, "mission": "IceCube", "messenger": "Neutrino",
        "id": [f"{metadata.run_id}_{metadata.event_id}"],
        "alert_datetime": result.date.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "alert_tense": "current" if metadata.is_real_event else "test", "number_of_events": 1,
        "ra": best.ra_deg, "dec": best.dec_deg,
        "ra_dec_error": round(float(np.degrees(np.arccos(1 - 2 * share))), 6),
        "containment_probability": 0.9, "systematic_included": known.levels.systematics,
        "additional_info": f"{known.levels.title} ({known.levels.name}), 90 % area {size:.6g} deg2"
                           + (f" ({known.limits(0.9)})" if known.limits(0.9) else "")
                           + (f", reconstruction {result.method}" if str(result.method) else "")
                           + (f"; energy: {result.energy}" if result.energy else "")
                           + ("" if result.complete else "; the scan is not complete"),
        "levels": known.levels.name, "complete": result.complete, "area_90_deg2": size,
        "reco_algo": result.method.requested, "reconstruction": result.method.reco}
    if result.energy:
        document["event_energy"] = result.energy.document()
    if metadata.time:
        document["trigger_time"] = metadata.time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return document


def contour_text(result: ScanResult, level: float = 0.9, levels: str | None = None) -> str:
    """The outline of one region as two columns, RA and Dec in degrees; a blank line between rings."""
    known = _Map.of(result, levels)
    limits = f" ({known.limits(level)})" if known.limits(level) else ""
    head = [f"# {result.metadata}: {level:g} credible region ({known.levels.title}: {known.levels.name}),"
            f" {known.area(level):.6g} deg2{limits}", *_method_lines(result), "# ra_deg dec_deg (ICRS)"]
    rings = ["\n".join(f"{ra:.6f} {dec:.6f}" for ra, dec in ring)
             for ring in contours(known.posterior, level)]
    return "\n".join(head) + "\n" + "\n\n".join(rings) + "\n"


def _method_lines(result: ScanResult) -> list[str]:
    return [f"# {name} {value}" for name, value in (("reconstruction", result.method),
                                                    ("energy", result.energy or "")) if str(value)]


def summary(result: ScanResult, levels: str | None = None) -> dict[str, Any]:
    """The numbers people ask for first: best fit, areas and how far the scan is."""
    known = _Map.of(result, levels)
    best, asked = known.best, list(known.levels.thresholds)
    return {
        **_event(result), "complete": result.complete, "levels": known.levels.name,
        "caution": known.levels.caution,
        "best_fit": {"ra_deg": best.ra_deg, "dec_deg": best.dec_deg, "llh": best.llh, "nside": best.nside,
                     "pixel": best.pixel},
        "area_deg2": {f"{level:g}": known.area(level) for level in asked},
        "limits": {f"{level:g}": known.limits(level) for level in asked if known.limits(level)},
        "pixels": {str(nside): len(table) for nside, table in result.pixels.items()},
    }


def _event(result: ScanResult) -> dict[str, Any]:
    """The same, with the energy of the best fit; None while nobody told one."""
    return {**_origin(result), "energy": result.energy.document() if result.energy else None}


def _origin(result: ScanResult) -> dict[str, str]:
    """The event, which reconstruction was asked for, and which one computed."""
    return {"event": str(result.metadata), "reco_algo": result.method.requested,
            "reconstruction": result.method.reco}


def _flat_probability(posterior: Posterior, order: int) -> np.ndarray:
    """Probability per NESTED pixel of an order: finer cells add up, coarser ones are shared out."""
    flat = np.zeros(healpix.npix(healpix.nside_of(order)))
    cells, probability = posterior.cells, posterior.probability
    for depth in np.unique(cells.order):
        here = cells.order == depth
        shift = 2 * (order - int(depth))
        if shift <= 0:
            np.add.at(flat, cells.nested[here] >> -shift, probability[here])
        else:
            spread = (cells.nested[here] << shift)[:, None] + np.arange(1 << shift)
            flat[spread] = probability[here][:, None] / (1 << shift)
    return flat


def _describe_pixels(header: fits.Header, ordering: str, scheme: str) -> None:
    header["EXTNAME"] = "SKYMAP"
    header["PIXTYPE"] = "HEALPIX", "HEALPix pixelisation"
    header["ORDERING"] = ordering, "pixel ordering scheme"
    header["COORDSYS"] = "C", "celestial (equatorial, ICRS)"
    header["INDXSCHM"] = scheme, "indexing"


def _describe_event(header: fits.Header, result: ScanResult, known: _Map) -> None:
    metadata, best = result.metadata, known.best
    header["OBJECT"] = str(metadata), "event"
    header["INSTRUME"] = "IceCube"
    header["ORIGIN"] = "iceprod-scanner"
    header["CREATOR"] = "scanner.products"
    header["DATE"] = result.date.strftime("%Y-%m-%dT%H:%M:%S"), "UTC of this file"
    if metadata.time:
        header["DATE-OBS"] = metadata.time.strftime("%Y-%m-%dT%H:%M:%S.%f"), "UTC of the event"
        header["MJD-OBS"] = metadata.mjd
    header["RUNID"], header["EVENTID"] = metadata.run_id, metadata.event_id
    header["EVTTYPE"] = metadata.event_type
    header["REALEVT"] = metadata.is_real_event, "false: simulated"
    header["COMPLETE"] = result.complete, "false: the scan was still running"
    header["RA"], header["DEC"] = (best.ra_deg, "deg, best fit"), (best.dec_deg, "deg, best fit")
    header["RECO"] = result.method.reco, "reconstruction that computed"
    header["RECOALGO"] = result.method.requested, "reconstruction asked for"
    header["LEVELSET"] = known.levels.name, known.levels.caution or "calibration of the regions"
    for level, percent in ((0.5, 50), (0.9, 90)):
        header[f"AREA{percent}"] = known.area(level), f"deg2, {percent} % region"
        if known.limits(level):
            header[f"LIMIT{percent}"] = known.limits(level)
    if result.energy:
        _describe_energy(header, result.energy)


def _describe_energy(header: fits.Header, energy: EventEnergy) -> None:
    """Cards of the energy; those of what is not known are left out, since FITS has no NaN in headers."""
    cards: list[tuple[str, float | None, str]] = [
        ("ENERGY", energy.gev, f"GeV, {KINDS[energy.kind]}"),
        ("ENERGYLO", energy.low_gev, "GeV, lower end of the 68 % interval"),
        ("ENERGYHI", energy.high_gev, "GeV, upper end of the 68 % interval")]
    if nu := energy.neutrino:
        cards += [("NUENERGY", nu.gev, "GeV, most probable, of the neutrino"),
                  ("NUENLO", nu.low_gev, "GeV, lower end of the 90 % interval"),
                  ("NUENHI", nu.high_gev, "GeV, upper end of the 90 % interval"),
                  ("NUINDEX", nu.spectrum, "of the spectrum E^-index assumed for it")]
    header["ENKIND"] = energy.kind, "what ENERGY is the energy of"
    for name, value, comment in cards:
        if value is not None:
            header[name] = value, comment


def _fits_bytes(table: fits.BinTableHDU) -> bytes:
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(file)
    return file.getvalue()
