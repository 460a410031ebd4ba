"""Opening FITS files from outside: nothing in them makes more than there is."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from astropy.io import fits
from astropy.io.fits.verify import VerifyWarning
from astropy.utils.exceptions import AstropyWarning

from config.unpacking import UnpackError, gunzip

__all__ = ["MOST_BYTES", "FitsError", "open_fits"]

MOST_BYTES = 64 << 20  # of a file, unpacked
MOST_UNITS = 100


class FitsError(ValueError):
    """A FITS file that cannot be read; the text says why."""


@contextmanager
def open_fits(data: bytes) -> Iterator[fits.HDUList]:
    """The units of a FITS file, which may be packed with gzip. Raises FitsError, also while it is read.

    Compressed images stay the tables that they are in the file, and columns of variable length, whose rows
    may all show the same bytes, are refused.
    """
    try:
        data = gunzip(data, MOST_BYTES) if data[:2] == b"\x1f\x8b" else data
        if len(data) > MOST_BYTES:
            raise FitsError(f"it is larger than {MOST_BYTES >> 20} MB")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", VerifyWarning)
            warnings.simplefilter("ignore", AstropyWarning)
            with fits.open(io.BytesIO(data), memmap=False, disable_image_compression=True,
                           lazy_load_hdus=True) as files:
                for number, unit in enumerate(files):
                    _check(number, unit, len(data))
                yield files
    except UnpackError as error:
        raise FitsError(str(error)) from None
    except (OSError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, MemoryError,
            AttributeError, fits.VerifyError) as error:
        raise error if isinstance(error, FitsError) else FitsError(str(error)[:200]) from None


def _check(number: int, unit: fits.hdu.base._BaseHDU, there: int) -> None:
    if number >= MOST_UNITS:
        raise FitsError(f"it has more than {MOST_UNITS} units")
    place = unit.fileinfo()
    if place is not None and place["datLoc"] + unit.size > there:
        raise FitsError(f"unit {number} says that it has {unit.size} bytes, which are not there")
    if isinstance(unit, fits.BinTableHDU) and any(
            letter in str(unit.header.get(f"TFORM{column}", "")).upper()
            for column in range(1, 1 + int(unit.header.get("TFIELDS", 0))) for letter in "PQ"):
        raise FitsError(f"unit {number} has columns of variable length")
