"""What a run comes to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from server.sensor.common.sigmf import BYTES

__all__ = ["MAX_DETAIL", "Outcome", "Status", "failure"]

MAX_DETAIL = 512  # characters


class Status(StrEnum):
    """Where a run stands."""

    IN_PROGRESS = "in-progress"
    SUCCESS = "success"
    FAILURE = "failure"
    SKIPPED = "skipped"  # there was nothing to do


@dataclass(frozen=True)
class Outcome:
    """How a run ended; `data` are samples of `datatype`, `facts` go to the recording's metadata."""

    status: Status = Status.SUCCESS
    detail: str = ""
    data: bytes = b""
    datatype: str = BYTES
    facts: Mapping[str, Any] = field(default_factory=dict)
    annotations: Sequence[Mapping[str, Any]] = ()
    is_stopped: bool = False  # by a person: that is no failure of the action's


def failure(detail: str) -> Outcome:
    return Outcome(Status.FAILURE, detail)
