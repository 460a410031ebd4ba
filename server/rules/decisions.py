"""Which rule fires for which event, as pure functions: the engine and the dry run decide by the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from server.rules import conditions
from server.rules.conditions import Condition

__all__ = ["DEFAULT_LIMIT", "EPOCH", "MOST_LIMIT", "Choice", "Decision", "Event", "Rule", "day_of",
           "firing_key", "first", "limit_text", "tried", "why_not"]

DEFAULT_LIMIT, MOST_LIMIT = 10, 100  # firings of a rule on one day
EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Event:
    """Something happened to a row."""

    key: str
    kind: str
    row: str
    at: datetime
    facts: Mapping[str, Any]
    group_ids: tuple[int, ...] | None = None  # who may know of it; None: everybody


@dataclass(frozen=True)
class Rule:
    """What is to be done, when, and in whose name."""

    key: str
    action: str
    name: str
    event: str
    condition: Condition
    settings: Mapping[str, Any]
    owner_id: int
    group_ids: tuple[int, ...] | None  # None: of the whole installation
    daily_limit: int
    since: datetime
    is_active: bool = True
    number: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """Whether a rule fires for an event, and if not, why."""

    event: Event
    reason: str = ""

    @property
    def fires(self) -> bool:
        return not self.reason


@dataclass(frozen=True)
class Choice:
    """The first of some conditions that holds, by its name, and why each one before it does not."""

    name: str | None
    passed_over: Mapping[str, str]

    @property
    def reason(self) -> str:
        """Why the ones before do not hold, in words."""
        return "; ".join(f"{name}: {why}" for name, why in self.passed_over.items())


def first(conditions_by_name: Mapping[str, Condition], facts: Mapping[str, Any]) -> Choice:
    """The choice among conditions that are tried in their order, where only one may count."""
    passed_over: dict[str, str] = {}
    for name, condition in conditions_by_name.items():
        reason = conditions.why_not(condition, facts)
        if not reason:
            return Choice(name, passed_over)
        passed_over[name] = reason
    return Choice(None, passed_over)


def firing_key(rule: Rule, event: Event) -> str:
    """The name of what a rule does about a row: there is at most one."""
    return f"{rule.key}|{event.kind}:{event.row}"


def day_of(event: Event) -> str:
    """The day (UTC) on which an event counts."""
    return event.at.date().isoformat()


def limit_text(rule: Rule) -> str:
    """Why the firing after the last of a day is left out."""
    return f"its limit of {rule.daily_limit} a day is reached"


def why_not(rule: Rule, event: Event, *, since: bool = True) -> str:
    """Why a rule does not fire for an event, whatever else it did; empty when it does."""
    if rule.event != event.kind:
        return f"it is for {rule.event}, not {event.kind}"
    if not rule.is_active:
        return "it is switched off"
    if since and event.at < rule.since:
        return "the rule was made later"
    if rule.group_ids is not None and event.group_ids is not None \
            and not set(rule.group_ids) & set(event.group_ids):
        return "it belongs to other groups"
    return conditions.why_not(rule.condition, event.facts)


def tried(rule: Rule, events: Iterable[Event], *, since: bool = True) -> Iterator[Decision]:
    """What a rule does about events, in their order: each row once, so many a day."""
    done: set[str] = set()
    used: dict[str, int] = {}
    for event in events:
        reason = why_not(rule, event, since=since)
        day, key = day_of(event), firing_key(rule, event)
        if not reason and key in done:
            reason = "it has fired for this row already"
        if not reason:
            done.add(key)
            if used.get(day, 0) >= rule.daily_limit:
                reason = limit_text(rule)
            else:
                used[day] = used.get(day, 0) + 1
        yield Decision(event, reason)
