"""What a run was measured on: the machine, how busy it is, and the versions of what takes part."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from pathlib import Path

from config.version import PRODUCT
from iceprod.cli.benching.records import Machine

__all__ = ["load", "machine", "processor_of", "versions"]

_PACKAGES = ("numpy", "numba", "llvmlite", "tornado", "pymongo")
_ROOT = Path(__file__).parents[3]


def machine() -> Machine:
    """This machine."""
    release = platform.release().partition("-")[0]  # what follows is the distributor's
    return Machine(_processor(), platform.machine(), f"{platform.system()} {release}", os.cpu_count() or 1,
                   _memory())


def load() -> float:
    """Programs that ran or wanted to, on average over the last minute; 0 where the system does not tell."""
    try:
        return round(os.getloadavg()[0], 2)
    except OSError:
        return 0.0


def versions() -> dict[str, str]:
    """By name; what is not installed is left out. `commit` is ours, where it is known."""
    found = {"python": platform.python_version()}
    for name in (*_PACKAGES, PRODUCT):
        try:
            found["iceprod" if name == PRODUCT else name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    commit = _commit()
    return {**found, "commit": commit} if commit else found


def processor_of(cpuinfo: str) -> str:
    """The processor's name in the text of /proc/cpuinfo; empty when there is none."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "cpu model"):
            return value.strip()
    return ""


def _processor() -> str:
    try:
        named = processor_of(Path("/proc/cpuinfo").read_text(errors="replace"))
    except OSError:
        named = ""
    return named or platform.processor() or platform.machine()


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return 0


def _commit() -> str:
    """Of the checkout, marked when it was changed since; of a built package, what was written into it."""
    if (_ROOT / ".git").exists():
        done = _git("describe", "--always", "--dirty", "--exclude=*")
        if done:
            return done
    try:
        return str(json.loads((_ROOT / "server" / "desk" / "gitlog.json").read_text())[0]["sha"])
    except (OSError, ValueError, LookupError, TypeError):
        return ""


def _git(*words: str) -> str:
    try:
        done = subprocess.run(["git", *words], cwd=_ROOT, capture_output=True, text=True, timeout=30,
                              check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
