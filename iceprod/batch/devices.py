"""What the GPUs of a machine can do, as HTCondor's machine ad or NVIDIA's driver tells.

Needs no more than Python 3.9's standard library, for the pilot carries it.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Device", "devices_here", "from_driver", "from_machine_ad", "offered"]

_QUERY = ("nvidia-smi", "--query-gpu=index,uuid,name,memory.total,compute_cap",
          "--format=csv,noheader,nounits")
_SECONDS = 30.0
_MB = 2**20 / 1e9
_NESTED = re.compile(r"^GPUs_\w+\s*=\s*\[(.*)\]\s*$", re.MULTILINE)
_PART = re.compile(r'(\w+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;]*)')


@dataclass(frozen=True)
class Device:
    """One GPU: the names that CUDA_VISIBLE_DEVICES knows it by, GB of memory, and its compute capability."""

    ids: tuple[str, ...]
    name: str
    memory: float
    capability: float


def devices_here() -> list[Device]:
    """The GPUs of this machine, as the batch system says, else the driver; none when nobody does."""
    found = from_machine_ad(_machine_ad())
    if found:
        return found
    try:
        done = subprocess.run(_QUERY, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return []
    return from_driver(done.stdout)


def from_machine_ad(text: str) -> list[Device]:
    """The GPUs that a machine ad of HTCondor lists, one record each."""
    records = (dict(_PART.findall(found)) for found in _NESTED.findall(text))
    found = []
    for record in records:
        told = {name: value.strip().strip('"') for name, value in record.items()}
        memory, capability = _number(told.get("GlobalMemoryMb")), _number(told.get("Capability"))
        ids = tuple(told[name] for name in ("Id", "DeviceUuid") if told.get(name))
        if ids:
            found.append(Device(ids, told.get("DeviceName", ""), round(memory * _MB, 3), capability))
    return found


def from_driver(text: str) -> list[Device]:
    """The GPUs that `nvidia-smi` lists, in lines of index, UUID, name, MB and capability."""
    found = []
    for line in text.splitlines():
        parts = [part.strip() for part in line.split(",")]
        if len(parts) == 5:
            index, uuid, name, memory, capability = parts
            found.append(Device((index, uuid), name, round(_number(memory) * _MB, 3), _number(capability)))
    return found


def offered(names: Sequence[str], known: Iterable[Device]) -> dict[str, Any]:
    """What a pilot with these GPUs offers: their least capability and memory, in GB, and their common name.

    Nothing when one of them is not known: a task that says what it needs is not given to it then.
    """
    devices = list(known)
    mine = [next((device for device in devices if _is_named(device, name)), None) for name in names]
    told = [device for device in mine if device is not None]
    if not told or len(told) < len(mine):
        return {}
    kinds = {device.name for device in told}
    return {"gpus_minimum_capability": min(device.capability for device in told),
            "gpus_minimum_memory": min(device.memory for device in told),
            "gpus_device_name": kinds.pop() if len(kinds) == 1 else ""}


def _is_named(device: Device, name: str) -> bool:
    """Whether CUDA knows the device by that name, which may be the beginning of its UUID."""
    bare = name.lower().removeprefix("gpu-")
    for known in device.ids:
        text = known.lower().removeprefix("gpu-")
        if text == bare or (len(bare) >= 8 and not known.isdigit() and text.startswith(bare)):
            return True
    return False


def _machine_ad() -> str:
    path = os.environ.get("_CONDOR_MACHINE_AD", "")
    try:
        with open(path, encoding="utf8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _number(text: Any) -> float:
    try:
        return float(str(text))
    except ValueError:
        return 0.0
