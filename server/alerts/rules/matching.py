"""Which rule an event meets: the rules' patterns as conditions of the one engine, tried in their order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.alerts import AlertRule
from server.rules import decisions
from server.rules.conditions import Clause, Condition
from server.rules.decisions import Choice

__all__ = ["choose", "condition_of"]


def condition_of(rule: AlertRule) -> Condition:
    """When an active rule wants an event."""
    return ((Clause("stream", like=tuple(rule.streams)), Clause("event_type", like=tuple(rule.event_types))),)


def choose(rules: Mapping[str, AlertRule], facts: Mapping[str, Any]) -> Choice:
    """The first active rule that wants an event with these facts (stream, event_type), and why not those
    before it."""
    active = {name: condition_of(rule) for name, rule in rules.items() if rule.is_active}
    return decisions.first(active, facts)
