"""All checks, one after the other: ours, and those of packages that are installed beside."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points

from iceprod.checks import connection, machine
from iceprod.checks.findings import Finding, left_out
from iceprod.checks.subject import Check, Subject

__all__ = ["GROUP", "examine"]

GROUP = "iceprod.checks"
"""Entry points of this group name tuples of checks."""


def examine(subject: Subject) -> Iterator[Finding]:
    """What all checks find, as they find it."""
    for check in (*machine.CHECKS, *connection.CHECKS):
        yield from _looked(check, subject)
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        yield from _beside(entry, subject)


def _beside(entry: EntryPoint, subject: Subject) -> Iterator[Finding]:
    """What the checks of another package find; nothing where what they need is not installed."""
    try:
        checks = entry.load()
    except ImportError as error:
        yield left_out(entry.name, f"{error.name or error} is not installed on this machine")
        return
    for check in checks:
        yield from _looked(check, subject)


def _looked(check: Check, subject: Subject) -> Iterator[Finding]:
    """What a check finds, as far as this account may look."""
    try:
        yield from check(subject)
    except PermissionError as error:
        yield left_out(getattr(check, "__name__", "check"), f"this account may not look: {error}")
