"""Stand-ins for the services outside that the desk asks, on the loopback interface.

They speak the services' protocols (TAP with ADQL and VOTable, VizieR's VOTable interface, CSV, JSON, FITS,
files with byte ranges) and know one star, one infrared source and one quasar at RA 150°, Dec 2.2°.

    with running_services() as outside:
        settings = outside.settings()

`outside.fault` makes the next answers fail: "down", "error", "garbage", "slow", "large", "redirect".
"""

from __future__ import annotations

import contextlib
import io
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.table import MaskedColumn, Table
from astropy.wcs import WCS
from PIL import Image as Picture

__all__ = ["Outside", "glade_line", "running_services"]

RA, DEC = 150.0, 2.2
_CIRCLE = re.compile(r"CIRCLE\('ICRS', ([-\d.]+), ([-\d.]+), ([-\d.]+)\)")


@dataclass
class Outside:
    """The running services: what they were asked, and how they shall fail."""

    url: str = ""
    fault: str = ""
    asked: list[tuple[str, str]] = field(default_factory=list)  # path and body
    files: dict[str, bytes] = field(default_factory=dict)
    break_after: int = 0  # bytes of a file, once

    def settings(self) -> dict[str, str]:
        """Environment settings that point a server here."""
        names = {"GAIA_TAP_URL": "/gaia", "IRSA_TAP_URL": "/irsa", "VIZIER_URL": "/vizier",
                 "GAIA_ALERTS_URL": "/alerts", "SWIFT_URL": "/swift", "FINK_URL": "/fink",
                 "KOWALSKI_URL": "/kowalski", "IMAGES_URL": "/images", "GLADE_URL": "/files/GLADE+.txt"}
        return {f"CATALOGS__{name}": self.url + path for name, path in names.items()}


def _table(columns: dict[str, list[Any]]) -> bytes:
    table = Table({name: MaskedColumn([0.0 if value is None else value for value in values],
                                      mask=[value is None for value in values])
                   for name, values in columns.items()})
    file = io.BytesIO()
    votable = from_table(table)
    votable.to_xml(file)
    return file.getvalue().replace(b"<RESOURCE type=\"results\">",
                                   b'<RESOURCE type="results"><INFO name="QUERY_STATUS" value="OK"/>')


def _stars() -> dict[str, list[Any]]:
    """The star itself, and others around it that a telescope may begin at."""
    apart = np.array([0.0, 30.0, 60.0, 80.0, 200.0]) / 3600
    return {"source_id": [3840000000000000001 + i for i in range(5)], "ra": [RA] * 5,
            "dec": (DEC + apart).tolist(), "pmra": [1.0, 0.0, 0.0, 0.0, 0.0],
            "pmdec": [-2.0, 0.0, 0.0, 0.0, 0.0], "parallax": [0.5, 1.0, 1.0, 1.0, 1.0],
            "parallax_error": [0.1] * 5, "phot_g_mean_mag": [17.5, 15.0, 16.0, 10.0, 14.0],
            "phot_bp_mean_mag": [17.9, None, 16.1, 10.1, 14.1],
            "phot_rp_mean_mag": [17.0, 14.9, 15.9, 9.9, 13.9],
            "ag_gspphot": [None, 0.1, 0.1, 0.1, 0.1], "ruwe": [1.01, 1.0, 1.0, 1.0, 1.0],
            "ref_epoch": [2016.0] * 5}


_WISE = {"ra": [RA], "dec": [DEC], **{f"w{band}mpro": [14.0 - band] for band in (1, 2, 3, 4)},
         **{f"w{band}sigmpro": [0.02] for band in (1, 2, 3, 4)}}


def _tap(columns: dict[str, list[Any]], query: str) -> bytes:
    """Rows inside the query's circle, in the order and with the columns that it names."""
    keep = list(range(len(columns["ra"])))
    if circle := _CIRCLE.search(query):
        ra, dec, radius = map(float, circle.groups())
        keep = [i for i in keep if np.hypot((columns["ra"][i] - ra) * np.cos(np.radians(dec)),
                                            columns["dec"][i] - dec) <= radius + 1e-9]
    if wanted := re.search(r"source_id = (\d+)", query):
        keep = [i for i in keep if columns["source_id"][i] == int(wanted[1])]
    if limit := re.search(r"phot_g_mean_mag <= ([\d.]+)", query):
        keep = [i for i in keep if columns["phot_g_mean_mag"][i] <= float(limit[1])]
    chosen = query[query.index("SELECT") + 6:query.index("FROM")]
    names = [name.strip() for name in re.sub(r"TOP \d+", "", chosen).split(",")]
    return _table({name: [columns[name][i] for i in keep] for name in names})


_TAP_ERROR = (b'<?xml version="1.0"?><VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3">'
              b'<RESOURCE type="results"><INFO name="QUERY_STATUS" value="ERROR">no such table</INFO>'
              b"</RESOURCE></VOTABLE>")


def _vizier(query: dict[str, str]) -> bytes:
    place = query["-c"]
    near = abs(float(re.split(r"[+-]", place)[0]) - RA) < 0.01
    quasar = {"_RAJ2000": [RA], "_DEJ2000": [DEC], "Name": ["SDSS J100000.00+021200.0"], "Qpct": [98],
              "z": [1.2]}
    galex = {"_RAJ2000": [RA], "_DEJ2000": [DEC], "Name": ["GALEX J1000+0212"], "FUVmag": [-99.0],
             "NUVmag": [21.5]}
    tables = {"VII/290": [quasar], "II/335/galex_ais": [galex], "J/two": [quasar, galex]}
    chosen = [_table(columns) for columns in tables.get(query["-source"], [])] if near else []
    if len(chosen) == 2:
        first, second = chosen
        inner = second[second.index(b"<RESOURCE"):second.index(b"</VOTABLE>")]
        return first.replace(b"</VOTABLE>", inner + b"</VOTABLE>")
    return chosen[0] if chosen else _table({"_RAJ2000": [], "_DEJ2000": []})


ALERTS = ("#Name, Date, RaDeg, DecDeg, AlertMag, HistoricMag, HistoricStdDev, Class, Published, Comment,"
          " TNSid\n"
          "Gaia23abc, 2023-05-01 10:00:00, 150.10000, 2.10000, 18.10, , , unknown, 2023-05-02 00:00:00,"
          ' "blue, hostless", AT2023abc\n'
          "Gaia23abd, 2023-05-01 20:00:00, 250.00000, -40.0000, 17.00, , , SN Ia, 2023-05-02 00:00:00, , \n"
          "Gaia23abe, 2023-06-01 10:00:00, 10.00000, 40.0000, 18.90, , , unknown, 2023-06-02 00:00:00, , \n")
CURVE = "#{name}\n#Date,JD(TCB),averagemag\n2023-04-30 10:00:00,2460065.0,18.2\n" \
        "2023-05-01 10:00:00,2460066.0,untrusted\n2023-05-01 12:00:00,2460066.1,18.1\n"
SWIFT = [
    {"Transient_ID": 1, "IAUName": "Swift J100024.5+021100", "RA": "150.10", "Decl": "2.18",
     "Classification": 1, "TransientDetectionTime": "2023-03-15 10:00:00", "Rate": 0.05, "Rate_pos": 0.01},
    {"Transient_ID": 2, "IAUName": "Swift J120000.0-300000", "RA": "180.0", "Decl": "-30.0",
     "Classification": 1, "TransientDetectionTime": "2023-03-16 10:00:00", "Rate": 0.1, "Rate_pos": 0.02},
]


def glade_line(number: int, ra: object = "null", dec: object = "null", **values: object) -> str:
    """A line of GLADE+; values by column as ``c27=0.01``."""
    cells = ["null"] * 40
    cells[0], cells[7], cells[8], cells[9] = str(number), "G", str(ra), str(dec)
    for name, value in values.items():
        cells[int(name[1:])] = str(value)
    return " ".join(cells)


def _picture(query: dict[str, str]) -> bytes:
    """A picture of a few stars, north up."""
    size = int(query["width"])
    field = np.zeros((size, size), dtype=np.uint8)
    random = np.random.default_rng(5)
    places, lights = random.integers(4, size - 4, (2, 150)), random.integers(60, 255, 150)
    for x, y, light in zip(*places, lights, strict=True):
        field[y - 2:y + 2, x - 2:x + 2] = light
    file = io.BytesIO()
    Picture.fromarray(field).save(file, "JPEG")
    return file.getvalue()


def _image(query: dict[str, str]) -> bytes:
    size = int(query["width"])
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval = [float(query["ra"]), float(query["dec"])]
    wcs.wcs.crpix = [size / 2, size / 2]
    wcs.wcs.cdelt = [-float(query["fov"]) / size, float(query["fov"]) / size]
    pixels = np.random.default_rng(1).normal(100, 5, (size, size)).astype(np.float32)
    file = io.BytesIO()
    fits.PrimaryHDU(pixels, header=wcs.to_header()).writeto(file)
    return file.getvalue()


def _answer(outside: Outside, path: str, query: dict[str, str], body: bytes) -> bytes | None:
    """The body of an answer; None for what is not there."""
    form = {name: values[0] for name, values in parse_qs(body.decode("utf8", "replace")).items()}
    if path in ("/gaia/sync", "/irsa/sync"):
        adql = form.get("QUERY", query.get("QUERY", ""))
        columns = _stars() if path.startswith("/gaia") else _WISE
        return _tap(columns, adql) if "gaia_source" in adql or "allwise" in adql else _TAP_ERROR
    if path == "/vizier":
        return _vizier(query)
    if path == "/alerts/alerts.csv":
        return ALERTS.encode()
    if path.startswith("/alerts/alert/"):
        return CURVE.format(name=path.split("/")[3]).encode()
    if path == "/swift":
        first = json.loads(body)["firstRow"]
        return json.dumps({"OK": 1, "NumRows": len(SWIFT), "Results": [] if first else SWIFT}).encode()
    if path == "/fink/conesearch":
        asked = json.loads(body)
        near = abs(asked["ra"] - RA) < 1.5 and abs(asked["dec"] - DEC) < 1.5
        places = [("ZTF23aaa", RA, DEC), ("ZTF23aab", RA + 0.1, DEC), ("ZTF23aac", RA + 0.2, DEC + 3.0)]
        return json.dumps([{"i:objectId": name, "i:ra": ra, "i:dec": dec, "i:jd": 2460020.5}
                           for name, ra, dec in places if near]).encode()
    if path == "/images":
        return _picture(query) if query.get("format") == "jpg" else _image(query)
    return outside.files.get(path)


class _Handler(BaseHTTPRequestHandler):
    outside: Outside
    protocol_version = "HTTP/1.0"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve(b"")

    def do_POST(self) -> None:
        self._serve(self.rfile.read(int(self.headers.get("Content-Length") or 0)))

    def _serve(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        self.outside.asked.append((parts.path, body.decode("utf8", "replace")))
        fault = self.outside.fault
        if fault == "slow":
            time.sleep(3)
        if fault in ("down", "redirect"):
            self.send_response(503 if fault == "down" else 302)
            self.send_header("Location", "http://169.254.169.254/latest/meta-data/")
            self.end_headers()
            return
        content = {"garbage": b"<html>sorry</html>", "error": _TAP_ERROR,
                   "large": bytes(3 << 20)}.get(fault) or _answer(self.outside, parts.path, query, body)
        if content is None:
            self.send_error(404)
            return
        self._send(content)

    def _send(self, content: bytes) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(wanted[1]) if wanted else 0
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        end, self.outside.break_after = self.outside.break_after or len(content), 0
        with contextlib.suppress(ConnectionError):  # whoever asked has heard enough
            self.wfile.write(content[start:start + end])


@contextlib.contextmanager
def running_services() -> Iterator[Outside]:
    """The services, as long as the block lasts."""
    outside = Outside()
    handler = type("Handler", (_Handler,), {"outside": outside})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    outside.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield outside
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
