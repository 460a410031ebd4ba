"""What families register: kinds of events with their facts, where they come from, and actions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from server.common.errors import BadRequest
from server.rest.context import Context
from server.rules.decisions import Event, Rule

__all__ = [
    "Action",
    "Firing",
    "Follow",
    "Kind",
    "Source",
    "action",
    "followers",
    "kind",
    "kinds",
    "register_action",
    "register_follower",
    "register_kind",
]


@dataclass(frozen=True)
class Firing:
    """One thing to be done: an action for a rule and an event. Its key is the same at every try."""

    key: str
    rule: Rule
    event: Event


@dataclass(frozen=True)
class Source:
    """The collection whose rows are events of a kind, how one is read, and what changes with every event."""

    collection: str
    read: Callable[[Context, Mapping[str, Any]], Awaitable[Event]]
    version: str = "modified"  # the field


@dataclass(frozen=True)
class Kind:
    """A kind of event: what is told of it, fact by fact, and where it comes from."""

    name: str
    facts: Mapping[str, str]  # name: what it is
    source: Source | None = None


@dataclass(frozen=True)
class Action:
    """What rules can do. `run` may be repeated; it says what came of it, for people and pages."""

    name: str
    run: Callable[[Context, Firing], Awaitable[Mapping[str, Any]]]


Follow = Callable[[Context, Event], Awaitable[None]]
"""Hears of every event, perhaps more than once, before it counts as matched."""

_kinds: dict[str, Kind] = {}
_actions: dict[str, Action] = {}
_followers: dict[str, Follow] = {}


def register_kind(new: Kind) -> Kind:
    """Make a kind of event known."""
    _kinds[new.name] = new
    return new


def register_action(new: Action) -> Action:
    """Make an action known."""
    _actions[new.name] = new
    return new


def register_follower(name: str, follow: Follow) -> None:
    """Let somebody else than rules hear of every event."""
    _followers[name] = follow


def followers() -> dict[str, Follow]:
    """Who else hears of events, by name."""
    return dict(_followers)


def kind(name: str) -> Kind:
    """A kind of event. Raises BadRequest."""
    if name not in _kinds:
        raise BadRequest(f"event: {name[:60]!r} is none of {', '.join(sorted(_kinds))}")
    return _kinds[name]


def action(name: str) -> Action:
    """An action. Raises BadRequest."""
    if name not in _actions:
        raise BadRequest(f"action: {name[:60]!r} is none of {', '.join(sorted(_actions))}")
    return _actions[name]


def kinds() -> list[Kind]:
    """All kinds of events, by name."""
    return [_kinds[name] for name in sorted(_kinds)]
