"""The program's own version, as it was installed; `setup.py` is where it is written."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed

__all__ = ["PRODUCT", "version"]

PRODUCT = "iceprod-scanner"
"""What the program is called where packages are installed."""


def version() -> str:
    """Such as 0.2.0; "0" where the program runs from a source tree that nobody installed."""
    try:
        return installed(PRODUCT)
    except PackageNotFoundError:
        return "0"
