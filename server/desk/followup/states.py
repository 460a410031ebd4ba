"""The life of a request: what it can become, and what a facility's words mean for it.

A request's `status` is text for people, as facilities write it; its `phase` is what we act by.
"""

from __future__ import annotations

import re
from enum import StrEnum

__all__ = [
    "ACTIVE",
    "DELETED",
    "FAILED",
    "OVER",
    "PENDING",
    "SUBMITTED",
    "Phase",
    "may_become",
    "phase_of",
    "sources_of",
]

PENDING, SUBMITTED, FAILED, DELETED = "pending submission", "submitted", "failed to submit", "deleted"
"""Statuses with SkyPortal's words."""


class Phase(StrEnum):
    """Where a request stands."""

    PENDING = "pending"  # stored, on its way to the facility
    OPEN = "open"  # the facility has it
    DONE = "done"  # observed, or the scan is over
    FAILED = "failed"  # it did not reach the facility, or nothing came of it
    REJECTED = "rejected"  # the facility does not want it
    DELETED = "deleted"  # taken back; nothing follows


_NEXT = {
    Phase.PENDING: {Phase.OPEN, Phase.DONE, Phase.FAILED, Phase.REJECTED, Phase.DELETED},
    Phase.OPEN: {Phase.OPEN, Phase.DONE, Phase.FAILED, Phase.REJECTED, Phase.DELETED},
    Phase.DONE: {Phase.OPEN, Phase.DONE, Phase.FAILED, Phase.DELETED},  # facilities correct themselves
    Phase.FAILED: {Phase.PENDING, Phase.OPEN, Phase.DONE, Phase.FAILED, Phase.DELETED},
    Phase.REJECTED: {Phase.PENDING, Phase.OPEN, Phase.DONE, Phase.REJECTED, Phase.DELETED},
    Phase.DELETED: set(),
}

ACTIVE = (Phase.PENDING, Phase.OPEN)
"""Something is still to come."""

OVER = (Phase.DONE, Phase.FAILED, Phase.REJECTED)
"""Something came of it, or nothing will."""

_BAD = re.compile(
    r"\b(fail\w*|error|expired|abort\w*|unsuccessful\w*|not (observed|done|finished|complete\w*))\b")
_GOOD = re.compile(r"\b(completed?|observed|done|success\w*|finished)\b")


def may_become(phase: Phase, new: Phase) -> bool:
    """Whether a request of a phase can go to another."""
    return new in _NEXT[phase]


def sources_of(new: Phase) -> list[str]:
    """The phases from which a request can go to this one; the condition of the write that does it."""
    return [phase.value for phase in Phase if may_become(phase, new)]


def phase_of(status: str) -> Phase:
    """What a status text says; what we do not understand leaves a request open."""
    text = status.strip().lower()
    if text.startswith("reject"):
        return Phase.REJECTED
    if text.startswith(("delete", "cancel", "withdrawn")):
        return Phase.DELETED
    if _BAD.search(text):
        return Phase.FAILED
    return Phase.DONE if _GOOD.search(text) else Phase.OPEN
