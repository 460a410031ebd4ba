"""Which rule an event meets: pure functions of settings and facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from config.alerts import AlertRule

__all__ = ["Traits", "any_fits", "first_match"]


@dataclass(frozen=True)
class Traits:
    """What rules ask of an event."""

    stream: str
    event_type: str


def any_fits(patterns: Sequence[str], name: str) -> bool:
    """Whether a name fits one of the patterns, which know * and ?; upper and lower case are the same."""
    return any(fnmatchcase(name.lower(), pattern.lower()) for pattern in patterns)


def first_match(rules: Mapping[str, AlertRule], traits: Traits) -> str | None:
    """The name of the first active rule that fits an event; None when no rule wants it."""
    for name, rule in rules.items():
        if (rule.is_active and any_fits(rule.streams, traits.stream)
                and any_fits(rule.event_types, traits.event_type)):
            return name
    return None
