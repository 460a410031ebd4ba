"""What is installed beside us: packages that extras bring, and the older `iceprod`, which must not be there.

Who submits, looks at results or runs programs as a pilot needs no extra.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

__all__ = ["MODULES", "SharedEnvironment", "check_alone", "lacking", "remedy", "require"]

MODULES: dict[str, tuple[str, ...]] = {
    "server": ("tornado", "pymongo", "bson", "cachetools", "cryptography", "prometheus_client", "psutil",
               "markdown_it", "ldap3"),
    "scanner": ("numpy", "numba", "llvmlite", "scipy", "astropy", "astropy_healpix", "matplotlib",
                "threadpoolctl"),
    "grid": ("htcondor2", "classad2"),
    "kafka": ("confluent_kafka",),
    "zeromq": ("zmq",),
    "telemetry": ("opentelemetry",),
}
"""What each extra brings. `server` brings all of `scanner`, too."""
_OLDER = "iceprod"  # the distribution of the collaboration's own program; its package has our package's name


class SharedEnvironment(ImportError):
    """Another distribution has put its files into our package; the text says how to part them."""


def lacking(extra: str) -> str:
    """The first module of an extra that is not installed; empty when all are."""
    return next((name for name in MODULES[extra] if find_spec(name) is None), "")


def require(extra: str) -> None:
    """Raise ModuleNotFoundError, which `remedy` knows, where an extra is not installed."""
    name = lacking(extra)
    if name:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def remedy(error: ModuleNotFoundError) -> str:
    """What to install when a module is missing; empty when no extra has it."""
    name = (error.name or "").partition(".")[0]
    extra = next((extra for extra, names in MODULES.items() if name in names), "")
    return (f"this needs {name}, which is not installed here: pip install 'iceprod-scanner[{extra}]'"
            if extra else "")


def check_alone(packages: Path = Path(__file__).parents[1]) -> None:
    """Raise SharedEnvironment where the older `iceprod` lies in the same folder of packages."""
    for found in packages.glob(f"{_OLDER}-*.*-info"):
        version = found.name[len(_OLDER) + 1:].rpartition(".")[0]
        raise SharedEnvironment(
            f"the other program of this name, iceprod {version}, is installed in {packages}, too. Both have "
            "a package `iceprod`, and whichever came last overwrote files of the other. Keep each in an "
            "environment of its own: make one (python3 -m venv DIR) and install iceprod-scanner there; or "
            "`pip uninstall iceprod`, then `pip install --force-reinstall --no-deps iceprod-scanner`")
