"""Published files of source catalogues: FITS, VOTables and text, as they come and as they should not."""

from __future__ import annotations

import contextlib
import gzip
import io
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.io.votable import from_table
from astropy.table import Table
from hypothesis import given, settings
from hypothesis import strategies as st

from server.desk.objects.spatial_files import POINT_DEG, read_file
from server.desk.objects.spatial_text import SpatialTextError

FERMI = {"Source_Name": ["4FGL J0509.4+0542 ", "4FGL J0001.2+4741"], "RAJ2000": [77.36, 0.3126],
         "DEJ2000": [5.70, 47.6859], "Conf_95_SemiMajor": [0.0144, np.nan],
         "Conf_95_SemiMinor": [0.0137, np.nan], "Conf_95_PosAng": [-47.2, np.nan], "CLASS1": ["bll", "bcu"],
         "ASSOC1": ["TXS 0506+056", ""], "Flux": [1e-9, 2e-9]}


def fits_file(columns: Mapping[str, Sequence[Any]], units: Mapping[str, str] | None = None) -> bytes:
    """A FITS file with these columns in its second table; the first one is about something else."""
    other = fits.BinTableHDU.from_columns([fits.Column("ENERGY", "D", array=[1.0])])
    made = [fits.Column(name, "20A" if isinstance(values[0], str) else "D", array=np.array(values),
                        unit=(units or {}).get(name)) for name, values in columns.items()]
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), other, fits.BinTableHDU.from_columns(made)]).writeto(file)
    return file.getvalue()


def votable(columns: Mapping[str, Sequence[Any]]) -> bytes:
    file = io.BytesIO()
    from_table(Table({name: list(values) for name, values in columns.items()})).to_xml(file)
    return file.getvalue()


def csv_file(columns: Mapping[str, Sequence[Any]]) -> bytes:
    rows = zip(*columns.values(), strict=True)
    return "\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]).encode()


@pytest.mark.parametrize("make", [fits_file, lambda columns: gzip.compress(fits_file(columns)), votable,
                                  csv_file], ids=["fits", "packed", "votable", "csv"])
def test_a_catalogue_of_the_fermi_lat(make: Any) -> None:
    found = read_file(make(FERMI))
    blazar, point = found["4FGL-J0509.4+0542"], found["4FGL-J0001.2+4741"]
    assert blazar.data == pytest.approx({
        "ra": 77.36, "dec": 5.70, "amaj": 0.0144, "amin": 0.0137, "phi": -47.2})
    assert blazar.about == {"class": "bll", "association": "TXS 0506+056", "name": "4FGL J0509.4+0542"}
    assert point.data == {"ra": 0.3126, "dec": 47.6859, "radius": POINT_DEG}
    assert "association" not in point.about


def test_a_radio_catalogue_of_points() -> None:
    found = read_file(votable({"_RAJ2000": [83.6], "_DEJ2000": [22.0], "RAJ2000": ["05 34 24"],
                               "Name": ["J0534+2200"]}))
    assert found["J0534+2200"].data == {"ra": 83.6, "dec": 22.0, "radius": POINT_DEG}


def test_columns_may_be_named() -> None:
    data = csv_file({"IVS": ["0507+017"], "lon": [77.5], "lat": [1.7]})
    with pytest.raises(SpatialTextError, match="no column for name; it has IVS, lon, lat"):
        read_file(data)
    assert read_file(data, {"name": "IVS", "ra": "lon", "dec": "lat"})["0507+017"].data["ra"] == 77.5
    with pytest.raises(SpatialTextError, match="columns: 'nome' is none of name"):
        read_file(data, {"nome": "IVS"})
    with pytest.raises(SpatialTextError, match="no column 'x'"):
        read_file(data, {"name": "x"})


def test_units_count() -> None:
    columns = {"name": ["a"], "ra": [np.pi / 2], "dec": [60.0], "radius": [30.0]}
    found = read_file(fits_file(columns, {"ra": "rad", "dec": "arcmin", "radius": "arcsec"}))
    assert found["a"].data == pytest.approx({"ra": 90.0, "dec": 1.0, "radius": 30 / 3600})
    with pytest.raises(SpatialTextError, match="no angle"):
        read_file(fits_file(columns, {"ra": "keV"}))


@pytest.mark.parametrize(("data", "says"), [
    (b"", "no column for name"), (b"\xff\xfe\x00", "UTF-8"), (b"SIMPLE", "FITS"), (b"\x1f\x8bxx", "FITS"),
    (b"<VOTABLE/>", "no rows"), (b"<html></html>", "VOTable"), (b"name,ra,dec\n", "1 to"),
    (b"name,ra,dec\nx,05 34 24,1", "line 2: ra must be a number"), (b"name,ra,dec\nx,400,1", "line 2: ra"),
    (csv_file({"name": ["a", "a"], "ra": [1, 2], "dec": [1, 2]}), "line 3: the name 'a' is there twice"),
    (fits_file({"Energy": [1.0]}), "no column for name"),
])  # fmt: skip
def test_files_that_are_refused(data: bytes, says: str) -> None:
    with pytest.raises(SpatialTextError, match=says):
        read_file(data)


ELSEWHERE = ('<VOTABLE xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE><TABLE>'
             '<FIELD name="name" datatype="char" arraysize="*"/><DATA><{}/></DATA></TABLE></RESOURCE>'
             "</VOTABLE>")


@pytest.mark.parametrize("inside", [
    'BINARY><STREAM href="{url}"/></BINARY', "FITS><STREAM a='>' href='{url}'/></FITS",
    'BINARY2><v:STREAM xmlns:v="http://www.ivoa.net/xml/VOTable/v1.3" href="{url}"/></BINARY2',
    'PARQUET type="VOTable"><STREAM href="{url}"/></PARQUET',
])  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf8", "utf16"])
def test_a_table_whose_data_are_elsewhere_makes_us_read_nothing(
        inside: str, encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Any] = []
    monkeypatch.setattr(urllib.request, "urlopen", opened.append)
    (tmp_path / "secret").write_bytes(b"secret")
    for url in ((tmp_path / "secret").as_uri(), "http://169.254.169.254/latest"):
        document = ELSEWHERE.replace("<{}/>", f"<{inside.format(url=url)}>")
        with pytest.raises(SpatialTextError):
            read_file(document.encode(encoding))
    assert opened == []


def test_a_table_that_declares_a_document_type_is_refused() -> None:
    with pytest.raises(SpatialTextError, match="document type"):
        read_file(b'<!DOCTYPE V [<!ATTLIST STREAM href CDATA "file:///etc/passwd">]><VOTABLE/>')


_ROW = "<DATA><TABLEDATA><TR><TD>1</TD></TR></TABLEDATA></DATA>"


@pytest.mark.parametrize("table", [
    '<TABLE><FIELD name="name" datatype="double" arraysize="4000000000"/>' + _ROW,
    '<TABLE><FIELD name="name" datatype="char" arraysize="4000000x1000"/>' + _ROW,
    '<TABLE nrows="3000000000"><FIELD name="name" datatype="double"/>' + _ROW,
    '<TABLE><PARAM name="p" datatype="double" arraysize="4000000000" value="1"/>',
    '<TABLE><FIELD name="name" datatype="double" arraysize="100000"/><DATA><TABLEDATA>' + "<TR/>" * 100
    + "</TABLEDATA></DATA>",
    '<TABLE ID="a"><FIELD name="name" datatype="double"/></TABLE><TABLE ref="a">' + _ROW,
    '<TABLE><FIELD name="name" datatype="char" arraysize="0"/><DATA><BINARY><STREAM encoding="base64">'
    "MTIzNDU2Nzg=</STREAM></BINARY></DATA>"])
def test_a_few_bytes_that_make_much_or_never_end(table: str) -> None:
    head = '<VOTABLE version="1.4" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE>'
    with pytest.raises(SpatialTextError, match=r"more than 8000000 values|arraysize: 0|of another one"):
        read_file(f"{head}{table}</TABLE></RESOURCE></VOTABLE>".encode())


GOOD = [fits_file(FERMI), votable(FERMI), csv_file(FERMI)]


def damaged(good: bytes, place: int, new: bytes) -> bytes:
    place %= len(good)
    return good[:place] + new + good[place + len(new):]


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=60) | st.builds(damaged, st.sampled_from(GOOD), st.integers(0, 9000),
                                          st.binary(min_size=1, max_size=6)))
def test_any_bytes_are_a_catalogue_or_refused(data: bytes) -> None:
    with contextlib.suppress(SpatialTextError):
        for name, entry in read_file(data).items():
            assert name
            assert 0 <= entry.data["ra"] < 360
