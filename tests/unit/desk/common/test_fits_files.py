"""FITS files that promise, or make, more than there is."""

from __future__ import annotations

import bz2
import gzip
import io

import numpy as np
import pytest
from astropy.io import fits

from server.desk.common import fits_files
from server.desk.common.fits_files import FitsError, open_fits


def written(*units: fits.hdu.base.ExtensionHDU) -> bytes:
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), *units]).writeto(file)
    return file.getvalue()


def table(rows: int = 12) -> fits.BinTableHDU:
    return fits.BinTableHDU.from_columns([fits.Column("PROB", "D", array=np.arange(float(rows)))])


def changed(data: bytes, keyword: str, value: int) -> bytes:
    """The file with another number in its last such card."""
    at = data.rindex(keyword.ljust(8).encode() + b"=")
    return data[:at] + f"{keyword:8}= {value:20}".encode() + data[at + 30:]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_table_is_read(pack: type[bytes]) -> None:
    with open_fits(pack(written(table()))) as files:
        assert np.asarray(files[1].data["PROB"]).tolist() == list(range(12))


@pytest.mark.parametrize(("keyword", "value"), [
    ("NAXIS2", 2_000_000_000), ("NAXIS1", 100_000_000), ("PCOUNT", 10**12)])
def test_what_a_header_promises_must_be_there(keyword: str, value: int) -> None:
    data = changed(written(table()), keyword, value)
    with pytest.raises(FitsError, match="which are not there"), open_fits(data):
        pass


def test_columns_of_variable_length_are_refused() -> None:
    arrays = np.array([np.arange(3), np.arange(5)], dtype=object)
    unit = fits.BinTableHDU.from_columns([fits.Column("PROB", "PD()", array=arrays)])
    with pytest.raises(FitsError, match="variable length"), open_fits(written(unit)):
        pass


def test_compressed_images_stay_packed() -> None:
    with pytest.raises(FitsError, match="variable length"), \
            open_fits(written(fits.CompImageHDU(np.zeros((3000, 3000)), compression_type="GZIP_1"))):
        pass


def test_limits_on_size_ratio_and_units(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FitsError, match="200 times"), open_fits(gzip.compress(b"\0" * (60 << 20))):
        pass
    with pytest.raises(FitsError, match="units"), open_fits(written(*(table() for _ in range(101)))):
        pass
    monkeypatch.setattr(fits_files, "MOST_BYTES", 1000)
    for pack in (bytes, gzip.compress):
        data = pack(written(table()))
        with pytest.raises(FitsError, match=r"more than 1000 bytes|larger than"), open_fits(data):
            pass


@pytest.mark.parametrize("data", [b"", b"x" * 3000, bz2.compress(written(table())), written(table())[:4000]])
def test_what_is_no_fits_file_is_refused(data: bytes) -> None:
    with pytest.raises(FitsError), open_fits(data) as files:
        np.asarray(files[1].data["PROB"])
