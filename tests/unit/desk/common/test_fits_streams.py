"""Tables read block after block."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pytest
from astropy.io import fits

from server.desk.common import fits_streams
from server.desk.common.fits_files import FitsError
from server.desk.common.fits_streams import TableStream


def written(rows: int = 5000, form: str = "D") -> bytes:
    table = fits.BinTableHDU.from_columns([fits.Column("PROB", form, array=np.arange(float(rows)))])
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(np.ones((7, 9))), table]).writeto(file)
    return file.getvalue()


def in_members(data: bytes) -> bytes:
    return b"".join(gzip.compress(data[at:at + 10_000]) for at in range(0, len(data), 10_000))


@pytest.mark.parametrize("pack", [bytes, gzip.compress, in_members])
def test_all_rows_come_in_order(pack: type[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits_streams, "_PIECE", 999)
    monkeypatch.setattr(fits_streams, "_FED", 100)
    table = TableStream.of(pack(written()))
    for _ in range(2):
        found = np.concatenate([rows["PROB"].ravel() for rows in table.blocks()])
        assert found.tolist() == list(range(5000))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_that_is_cut_off_is_refused(pack: type[bytes]) -> None:
    table = TableStream.of(pack(written()[:20_000]))
    with pytest.raises(FitsError, match="it ends after 20000 bytes"):
        list(table.blocks())


def test_headers_that_cannot_be() -> None:
    for good, bad, reason in ((b"'D       '", b"'PD      '", "TFORM1"), (b"NAXIS1  =                    8",
                              b"NAXIS1  =                    9", "NAXIS1: rows have 8 bytes")):
        with pytest.raises(FitsError, match=reason):
            TableStream.of(written().replace(good, bad))


def test_many_members_are_not_unpacked() -> None:
    with pytest.raises(FitsError, match="it ends after"):
        list(TableStream.of(gzip.compress(written()[:20_000]) + gzip.compress(b"") * 40
                            + gzip.compress(written()[20_000:])).blocks())
