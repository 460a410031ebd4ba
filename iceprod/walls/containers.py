"""Containers that programs run in: the image that a task names, or that of the system that it asks for."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["Containers", "containers_from", "own_system"]

_RHEL = frozenset({"rhel", "centos", "rocky", "almalinux", "ol", "scientific"})
_MOUNTED = ("/cvmfs",)  # bound where it is there: images and programs of experiments lie below


@dataclass
class Containers:
    """What a place offers: systems by name, with their images (empty: the place itself is one), and binds."""

    systems: dict[str, str] = field(default_factory=dict)
    binds: list[str] = field(default_factory=list)

    def image(self, config: dict[str, Any], requirements: dict[str, Any]) -> str:
        """The image for a task; empty for none."""
        if named := config.get("container"):
            return str(named)
        wanted = [name for name in _listed(requirements.get("os")) if name in self.systems]
        return "" if any(not self.systems[name] for name in wanted) or not wanted else self.systems[wanted[0]]

    def around(self, argv: list[str], image: str, here: str, gpus: bool) -> list[str]:
        """The command line inside a container. Raises OSError where nothing here opens one."""
        if not image:
            return argv
        runner = shutil.which("apptainer") or shutil.which("singularity")
        if runner is None:
            raise OSError(f"no apptainer here to open the container {image}")
        binds = [here, *self.binds, *(path for path in _MOUNTED if os.path.isdir(path))]
        words = [word for bind in binds for word in ("--bind", bind)]
        return [runner, "exec", *(["--nv"] if gpus else []), *words, "--pwd", here, image, *argv]


def containers_from(systems: list[str], binds: list[str]) -> Containers:
    """From words NAME or NAME=IMAGE; without one, the system that this machine says it is."""
    pairs = [word.partition("=") for word in systems]
    named = {name: image for name, _, image in pairs if name}
    return Containers(named or {own_system(): ""}, list(binds))


def own_system(release: Path = Path("/etc/os-release"), machine: str = "") -> str:
    """The name of this machine's system as datasets write it, such as RHEL_9_x86_64 or Debian_13_x86_64."""
    try:
        lines = release.read_text(encoding="utf8").splitlines()
    except OSError:
        lines = []
    told = {name: value.strip("\"'") for name, _, value in (line.partition("=") for line in lines)}
    kind = told.get("ID", platform.system()).lower()
    name = "RHEL" if kind in _RHEL else kind.capitalize()
    version = told.get("VERSION_ID", "").partition(".")[0]
    return "_".join(filter(None, (name, version, machine or platform.machine())))


def _listed(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(one) for one in value or ()]
