"""What work there is: how many tasks of which requirement class wait, as the server counts them."""

from __future__ import annotations

from typing import Any

import msgspec

from iceprod.client import Client, ClientError
from iceprod.requirements import class_key

__all__ = ["Work", "read_demand"]


_GPU_WORDS = {"gpus_device_name": "named {}", "gpus_minimum_capability": "of capability {}",
              "gpus_minimum_memory": "with {} GB"}
_WORDS = {"cpu": "{} cores", "gpu": "{} GPUs", "memory": "{} GB memory", "disk": "{} GB disk",
          "restartable": "restartable", "classads": "ClassAds {}", **_GPU_WORDS}


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """The tasks of one requirement class. Counts of many are cut off: they mean "so many or more"."""

    class_key: str
    requirements: dict[str, Any] = {}  # the bins that the class stands for
    waiting: int = 0  # for this site
    all_waiting: int = 0  # for whichever site
    queued: int = 0
    processing: int = 0
    wanted: int = 0  # slots that somebody asked to have ready for the class, busy ones included
    priority: float = 0.0  # of the best waiting task
    least: dict[str, float] = {}  # what tasks of the class really need at least

    @property
    def slots(self) -> int:
        """How many more slots could be of use."""
        return max(self.waiting, self.wanted - self.queued - self.processing)

    @property
    def text(self) -> str:
        """What one task needs, for people."""
        needs = dict(self.requirements)
        hours = needs.pop("time", None)
        words = [_WORDS.get(name, name + " {}").format(_plain(value))
                 for name, value in sorted(needs.items())]
        if isinstance(hours, int | float):
            words.append(f"{60 * hours:.0f} min" if hours < 1 else f"{hours:g} h")
        return f"({', '.join(words) or 'no requirements'})"

    @property
    def gpu_text(self) -> str:
        """Which GPUs it needs."""
        told = ((word, self.requirements.get(name)) for name, word in _GPU_WORDS.items())
        return " ".join(word.format(_plain(value)) for word, value in told if value)

    @classmethod
    def of(cls, requirements: dict[str, Any], waiting: int, **others: Any) -> Work:
        """The class that some requirements belong to."""
        key = class_key(requirements)
        return cls(class_key=key, requirements=msgspec.json.decode(key), waiting=waiting, **others)


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return " or ".join(map(str, value))
    if isinstance(value, dict):
        return " ".join(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def read_demand(client: Client, site: str, grid_id: str = "") -> list[Work]:
    """What waits that the site may run, and this grid's share of it. Raises ClientError."""
    answer = client.get("/task_classes", {"site": site, **({"grid_id": grid_id} if grid_id else {})})
    try:
        return msgspec.convert(answer["classes"], list[Work])
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise ClientError(f"{client.url}/task_classes: not the answer that was expected: {error}") from None
