"""HTCondor's Python bindings, loaded when they are needed and with a clear word when they cannot be.

Which pool a process talks to is settled when the bindings are imported, so everything that a site file says
about it goes into the environment before.
"""

from __future__ import annotations

import importlib
import os
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from grid.base import GridError
from grid.condor.site import Condor

__all__ = ["Bindings", "load_bindings"]

OLDEST = 25
_VERSION = re.compile(r"\d+(\.\d+)+")
_INSTALL = "install them with: pip install 'htcondor>=25'"


@dataclass(frozen=True)
class Bindings:
    """The modules `htcondor2` and `classad2`, and their version."""

    htcondor: Any
    classad: Any
    version: str


def load_bindings(condor: Condor) -> Bindings:
    """Import the bindings for one access point. Raises GridError."""
    _configure(condor)
    version = _installed()
    try:
        htcondor = importlib.import_module("htcondor2")
        classad = importlib.import_module("classad2")
    except ImportError as error:
        raise GridError(f"HTCondor's Python bindings {version} cannot be loaded: {error}") from None
    return Bindings(htcondor, classad, version)


def _installed() -> str:
    """The version of the bindings, whether pip or the system's packages brought them. Raises GridError."""
    try:
        version = metadata.version("htcondor")
    except metadata.PackageNotFoundError:
        version = _of_system()
    major = version.partition(".")[0]
    if major.isdigit() and int(major) < OLDEST:
        raise GridError(
            f"HTCondor's Python bindings are {version}, which lack what we use (htcondor2 with a working "
            f"submit came in {OLDEST}; the pool itself may be older); {_INSTALL}")
    return version


def _of_system() -> str:
    """The version that the modules themselves tell; older packages have `htcondor` alone."""
    for name in ("htcondor2", "htcondor"):
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        if found := _VERSION.search(str(module.version())):
            return found[0]
    raise GridError(f"HTCondor's Python bindings are not installed; {_INSTALL}")


def _configure(condor: Condor) -> None:
    if condor.config:
        path = Path(condor.config).expanduser()
        if not path.is_file():
            raise GridError(f"condor: config: there is no file {path}")
        os.environ["CONDOR_CONFIG"] = str(path)
    if condor.authentication:
        os.environ["_CONDOR_SEC_CLIENT_AUTHENTICATION_METHODS"] = condor.authentication.upper()
    if condor.scitoken_file:
        os.environ["BEARER_TOKEN_FILE"] = str(Path(condor.scitoken_file).expanduser())
    if condor.token_directory:
        os.environ["_CONDOR_SEC_TOKEN_DIRECTORY"] = str(Path(condor.token_directory).expanduser())
