"""Conditions of rules: alternatives of clauses on the facts of an event, and why one does not hold."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any

import msgspec

from server.common.errors import BadRequest

__all__ = ["Clause", "Condition", "always", "check", "fits", "never", "read", "shown", "stored", "why_not"]

MOST_ALTERNATIVES, MOST_CLAUSES, MOST_WORDS = 50, 20, 200

Scalar = bool | int | float | str
Word = Annotated[str, msgspec.Meta(max_length=500)]


class Clause(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What one fact must be: of some words or patterns, within limits (ends included), or a list that holds
    some word."""

    field: Word
    among: Annotated[tuple[Scalar, ...], msgspec.Meta(max_length=MOST_WORDS)] | None = msgspec.field(
        default=None, name="in")
    like: Annotated[tuple[Word, ...], msgspec.Meta(max_length=MOST_WORDS)] | None = None  # with * and ?
    least: float | None = msgspec.field(default=None, name="min")
    most: float | None = msgspec.field(default=None, name="max")
    holds: Annotated[tuple[Word, ...], msgspec.Meta(max_length=MOST_WORDS)] | None = msgspec.field(
        default=None, name="any")
    lacks: Annotated[tuple[Word, ...], msgspec.Meta(max_length=MOST_WORDS)] | None = msgspec.field(
        default=None, name="none")


Condition = tuple[tuple[Clause, ...], ...]
"""Alternatives, one of which must hold; of an alternative every clause must hold."""

always: Condition = ((),)
never: Condition = ()


def read(document: Any, facts: Iterable[str]) -> Condition:
    """A condition that came as JSON, on an event with these facts. Raises BadRequest."""
    try:
        condition: Condition = msgspec.convert(document, Condition)
    except msgspec.ValidationError as error:
        raise BadRequest(f"condition: {error}") from None
    check(condition, facts)
    return condition


def stored(document: Any) -> Condition:
    """A condition that was checked when it was stored."""
    condition: Condition = msgspec.convert(document, Condition)
    return condition


def check(condition: Condition, facts: Iterable[str]) -> None:
    """Refuse clauses on facts that the event does not have, or that ask nothing. Raises BadRequest."""
    known = sorted(facts)
    if len(condition) > MOST_ALTERNATIVES or any(len(clauses) > MOST_CLAUSES for clauses in condition):
        raise BadRequest(f"condition: at most {MOST_ALTERNATIVES} alternatives of {MOST_CLAUSES} clauses")
    for clause in (clause for clauses in condition for clause in clauses):
        if clause.field not in known:
            raise BadRequest(f"condition: {clause.field[:60]!r} is none of the facts {', '.join(known)}")
        if len(shown(((clause,),))[0][0]) < 2:
            raise BadRequest(f"condition: a clause on {clause.field} needs one of in, like, min, max, any, "
                             "none")


def shown(condition: Condition) -> list[list[dict[str, Any]]]:
    """A condition as JSON."""
    return [[dict(msgspec.to_builtins(clause)) for clause in clauses] for clauses in condition]


def why_not(condition: Condition, facts: Mapping[str, Any]) -> str:
    """Why a condition does not hold, in words; empty when it does."""
    reasons: list[str] = []
    for clauses in condition:
        found = next((reason for clause in clauses if (reason := _why_not(clause, facts))), "")
        if not found:
            return ""
        reasons.append(found)
    return "; ".join(dict.fromkeys(reasons)) or "it has no condition, so it never fires"


def _why_not(clause: Clause, facts: Mapping[str, Any]) -> str:
    value, name = facts.get(clause.field), clause.field
    if clause.holds is not None or clause.lacks is not None:
        return _why_not_list(clause, value if isinstance(value, Sequence) else ())
    if value is None:
        return f"{name} is not known"
    if clause.among is not None and not any(_same(value, one) for one in clause.among):
        return f"{name} is {_word(value)}, not {' or '.join(_word(one) for one in clause.among) or 'any'}"
    if clause.like is not None and not fits(clause.like, str(value)):
        return f"{name} is {_word(value)}, not like {' or '.join(clause.like) or 'any'}"
    if clause.least is None and clause.most is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return f"{name} is {_word(value)}, no number"
    if clause.least is not None and not value >= clause.least:
        return f"{name} is {value:g}, less than {clause.least:g}"
    if clause.most is not None and not value <= clause.most:
        return f"{name} is {value:g}, more than {clause.most:g}"
    return ""


def fits(patterns: Iterable[str], text: str) -> bool:
    """Whether a text is like one of the patterns, which know * and ?; upper and lower case are the same."""
    return any(fnmatchcase(text.lower(), pattern.lower()) for pattern in patterns)


def _why_not_list(clause: Clause, value: Sequence[Any]) -> str:
    have = set(map(str, value))
    if clause.holds is not None and not have & set(clause.holds):
        return f"{clause.field} has none of {', '.join(clause.holds) or 'no words'}"
    if clause.lacks is not None and (unwanted := have & set(clause.lacks)):
        return f"{clause.field} has {', '.join(sorted(unwanted))}"
    return ""


def _same(value: Any, other: Scalar) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _word(value: Any) -> str:
    return repr(value)[:80] if isinstance(value, str) else str(value)[:80]
