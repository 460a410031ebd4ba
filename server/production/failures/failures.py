"""What a failure means: whether the place or the work is to blame, and whether another try may help.

The table of rules says so: the first whose pattern is found in the reason of a failure counts. The defaults
are here; administrators may put another table in their place (see `policy`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

import msgspec

from config.settings import Failures
from server.common.patterns import BadPattern, compile_pattern
from server.production.common.documents import Document

__all__ = ["DEFAULT_RULES", "Action", "Blame", "Rule", "RuleError", "Scene", "Verdict", "blame",
           "check_rules", "find_rule", "grown_blindly", "is_exhausted", "judge", "pause"]

INFRASTRUCTURE_FACTOR = 5  # so much longer than the work itself may the place fail before we give up
MOST_RULES = 100
LONGEST_PATTERN = 1000
SEARCHED = 2000  # characters of a reason


class Blame(Enum):
    """Who is to blame for a failed attempt."""

    INFRASTRUCTURE = "infrastructure"  # does not spend the work's budget of failures
    PAYLOAD = "payload"
    OUTSIDE = "outside"  # storage or a registry that did not answer: spends no budget, see `breakers`


class Action(Enum):
    """What follows from a failed attempt, while the rule's limit and the task's budget allow another."""

    RETRY = "retry"  # anywhere
    ELSEWHERE = "elsewhere"  # on another host, if there is one
    GROW = "grow"  # with more of what was short
    CONFIRM = "confirm"  # on another host; when that says the same, not at all
    FAIL = "fail"  # not at all


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of the table.

    `pattern` is a regular expression (RE2), searched for in the reason whatever the case; an empty one is
    found in any. `limit` is how often the rule may apply to a task before the task fails; null: as often as
    the task's budget allows. `resource` is what "grow" asks more of, measured or not. `wait` is the pause
    before the first retry in seconds, which doubles with each further one; null: the setting's.
    """

    name: str
    pattern: str
    blame: Blame
    action: Action
    limit: int | None = None
    resource: str = ""
    wait: float | None = None


class RuleError(ValueError):
    """A table of rules cannot be used; the text names the rule and what is wrong with it."""


_PLACE, _WORK, _OUTSIDE = Blame.INFRASTRUCTURE, Blame.PAYLOAD, Blame.OUTSIDE

DEFAULT_RULES: tuple[Rule, ...] = (
    Rule("no means", r"has no (command to transfer|place for \w+_temp data)", _PLACE, Action.ELSEWHERE, 5),
    Rule("impossible", r"no way to transfer|needs a remote address|outside of the task's directory|"
                       r"is not supported, name a program|neither src nor args", _WORK, Action.FAIL),
    Rule("memory", r"(memory|\brss\b)( usage)? (limit|exceeded)|"
                   r"(exceeded|over|above|beyond) (the |its )?memory|over ?usage for memory|"
                   r"out of memory|\boom\b|oom.?kill|bad_alloc|MemoryError|cannot allocate memory",
         _PLACE, Action.GROW, 8, "memory"),
    Rule("disk", r"disk( usage)? (limit|exceeded)|(exceeded|over|above|beyond) (the |its )?disk|"
                 r"over ?usage for disk", _PLACE, Action.GROW, 4, "disk"),
    Rule("time", r"\b(wall ?)?time( usage)? (limit|exceeded)|(exceeded|over|above|beyond) (the |its )?time|"
                 r"over ?usage for time", _PLACE, Action.GROW, 4, "time"),
    Rule("cpu", r"cpu( usage)? (limit|exceeded)|(exceeded|over|above|beyond) (the |its )?cpu|over ?usage",
         _PLACE, Action.GROW, 4),
    Rule("missing file", r"transfer failure:.*(HTTP (400|401|403|404|405|410)\b|no such file|not a directory|"
                         r"permission denied|is a directory|not there|declared (was|were))",
         _WORK, Action.CONFIRM, 2),
    Rule("outside", r"(transfer failure|image failure):.*(refused|reset by peer|timed? ?out|unreachable|"
                    r"no route to host|name resolution|name or service not known|no address associated|"
                    r"closed connection|broken pipe|connection aborted|handshake|HTTP (408|425|429|5\d\d)\b)",
         _OUTSIDE, Action.RETRY),
    Rule("full disk", r"no space left|quota exceeded", _PLACE, Action.ELSEWHERE),
    Rule("broken node", r"cvmfs|opencl|bus error|sigbus|node failure|stale file handle|input/output error",
         _PLACE, Action.ELSEWHERE),
    Rule("missing program", r"could not be started|command not found|(exit code|status) 12[67]\b|"
                            r"no such file or directory|FileNotFoundError|permission denied|"
                            r"PermissionError|ModuleNotFoundError", _WORK, Action.CONFIRM, 2),
    Rule("transfer", r"transfer|connection (timed out|refused|reset)|timed out (connecting|waiting)|"
                     r"network is unreachable|temporary failure in name resolution",
         _PLACE, Action.ELSEWHERE),
    Rule("taken away", r"sigterm|sigkill|\bkilled\b|lease|evict|preempt|held by|removed by|"
                       r"queue time exceeded", _PLACE, Action.RETRY),
    Rule("other", "", _WORK, Action.RETRY, wait=1.0),  # time heals few of these, and somebody wants to know
)
"""What holds until an administrator says otherwise. The last row is for all that no other knows."""


def find_rule(reason: str, rules: Sequence[Rule] = DEFAULT_RULES) -> Rule:
    """The first rule whose pattern is in the reason; the default's last when none is."""
    text = reason[:SEARCHED]
    return next((rule for rule in rules if compile_pattern(rule.pattern).search(text)), DEFAULT_RULES[-1])


def blame(reason: str, rules: Sequence[Rule] = DEFAULT_RULES) -> Blame:
    """Who a failure's text says is to blame; nobody in particular means the work."""
    return find_rule(reason, rules).blame


# -- checking a table



def check_rules(rules: Sequence[Rule]) -> None:
    """Raise RuleError for a table that cannot be used."""
    if not 0 < len(rules) <= MOST_RULES:
        raise RuleError(f"rules: must be 1 to {MOST_RULES}, not {len(rules)}")
    names: set[str] = set()
    for position, rule in enumerate(rules):
        where = f"rules[{position}]"
        if not re.fullmatch(r"[\w][\w -]{0,49}", rule.name) or rule.name in names:
            raise RuleError(f"{where}.name: must be 1 to 50 letters, digits, spaces or dashes, and used once")
        names.add(rule.name)
        _check_rule(rule, where)
    if rules[-1].pattern:
        raise RuleError("rules: the last must have an empty pattern, for all that no other knows")


def _check_rule(rule: Rule, where: str) -> None:
    if len(rule.pattern) > LONGEST_PATTERN:
        raise RuleError(f"{where}.pattern: longer than {LONGEST_PATTERN} characters")
    try:
        compile_pattern(rule.pattern)
    except BadPattern as error:
        raise RuleError(f"{where}.pattern: {error}") from None
    if rule.limit is not None and not 0 <= rule.limit <= 10_000:
        raise RuleError(f"{where}.limit: must be null or 0 to 10000, not {rule.limit}")
    if rule.resource not in ("", "memory", "disk", "time"):
        raise RuleError(f"{where}.resource: must be memory, disk, time or empty, not {rule.resource[:50]!r}")
    if rule.resource and rule.action is not Action.GROW:
        raise RuleError(f"{where}.resource: only for the action grow")
    if rule.wait is not None and not 0 <= rule.wait <= 86_400:
        raise RuleError(f"{where}.wait: must be null or 0 to 86400 seconds, not {rule.wait:g}")


# -- judging one failure


@dataclass(frozen=True)
class Verdict:
    """What becomes of a task whose attempt failed: the rule that applies, how often it did, why it ends."""

    rule: Rule
    count: int  # this time included
    given_up: str = ""  # why no other try follows; empty: one does

    def document(self) -> Document:
        """As it is kept with the task."""
        return {"rule": self.rule.name, "blame": self.rule.blame.value, "action": self.rule.action.value,
                "count": self.count, "limit": self.rule.limit, "given_up": self.given_up}


@dataclass(frozen=True)
class Scene:
    """Where and when an attempt failed."""

    host: str = ""
    is_only_host: bool = False  # nobody else is there to ask
    host_is_good: bool = False  # other tasks ended well there
    moment: str = ""  # of the failure, as timestamps are written


def judge(task: Document, reason: str, limits: Failures, rules: Sequence[Rule] = DEFAULT_RULES,
          scene: Scene = Scene()) -> Verdict:
    """What follows from one more failure of a task, by the table and the task's budget."""
    rule = find_rule(reason, rules)
    count = (task.get("failure_counts") or {}).get(rule.name, 0) + 1
    given_up = ""
    if rule.action is Action.FAIL:
        given_up = f"failures of the kind {rule.name!r} do not heal"
    elif rule.limit is not None and count > rule.limit:
        given_up = f"{rule.name!r} may happen {rule.limit} times"
    elif rule.action is Action.CONFIRM and (confirmed := _confirmed(task, rule, scene)):
        given_up = f"{rule.name!r} was {confirmed}"
    elif _is_at_cap(task, rule, limits):
        given_up = f"{rule.resource} is at its cap of {_caps(limits)[rule.resource]:g} already"
    elif rule.blame is Blame.OUTSIDE:
        given_up = _waited_out(task, scene.moment, limits)
    elif is_exhausted(task, rule.blame, limits):
        given_up = "the budget of failures is spent"
    return Verdict(rule, count, given_up)


def _confirmed(task: Document, rule: Rule, scene: Scene) -> str:
    """Who else says that a failure is the work's own fault; empty while nobody does."""
    before = {one["host"] for one in task.get("attempts") or () if one.get("rule") == rule.name}
    if scene.host and (others := sorted(before - {scene.host, ""})):
        return f"seen on {scene.host} and on {others[0]}"
    if scene.is_only_host and scene.host_is_good:
        return f"seen on {scene.host}, where others succeed"
    return ""


def _waited_out(task: Document, moment: str, limits: Failures) -> str:
    """Why what is outside is waited for no longer; empty while it is."""
    since = task.get("outside_since")
    if not since or not moment:
        return ""
    hours = (datetime.fromisoformat(moment) - datetime.fromisoformat(since)).total_seconds() / 3600
    return f"it was away for more than {limits.outage_hours:g} hours" if hours > limits.outage_hours else ""


def pause(rule: Rule, count: int, limits: Failures, chance: float) -> float:
    """Seconds before the retry after the `count`-th failure by a rule; `chance` from 0 to 1 spreads them.

    More of what was short is the cure for that, so there is nothing to wait for then; and with a setting of 0
    nothing ever waits.
    """
    first = limits.backoff_seconds if rule.wait is None else rule.wait
    if not limits.backoff_seconds or (rule.action is Action.GROW and rule.wait is None):
        return 0.0
    longest = 60 * limits.backoff_max_minutes
    return min(longest, first * 2.0 ** min(count - 1, 30)) * (0.5 + chance)


def _caps(limits: Failures) -> dict[str, float]:
    return {"memory": limits.max_memory_gb, "disk": limits.max_disk_gb, "time": limits.max_time_hours}


def _is_at_cap(task: Document, rule: Rule, limits: Failures) -> bool:
    if rule.action is not Action.GROW or not rule.resource:
        return False
    wanted: Any = (task.get("requirements") or {}).get(rule.resource)
    return isinstance(wanted, int | float) and wanted >= _caps(limits)[rule.resource]


def grown_blindly(requirements: Document, before: Document, rule: Rule, limits: Failures) -> Document:
    """Requirements with more of what the rule says was short, when measuring did not raise it."""
    name, old = rule.resource, before.get(rule.resource)
    if not name or not isinstance(old, int | float) or requirements.get(name) != old:
        return requirements
    more = min(old * limits.growth, _caps(limits)[name])
    return {**requirements, name: max(old, round(more, 6))}


def is_exhausted(task: Document, who: Blame, limits: Failures) -> bool:
    """Whether a task that just failed once more has spent its tries.

    Failures of the place are counted too, with a larger budget, so that nothing is tried for ever.
    """
    failures = task.get("failures", 0) + 1
    of_place = task.get("infrastructure_failures", 0) + (who is not Blame.PAYLOAD)
    most = task.get("max_failures")
    most = most if isinstance(most, int) and not isinstance(most, bool) else limits.max_failures
    return failures - of_place > most or of_place > INFRASTRUCTURE_FACTOR * max(1, most)
