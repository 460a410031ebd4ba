"""The ClassAds of a task: which attributes of HTCondor's jobs a configuration may set, and to what.

A configuration says them as IceProd does, under ``batchsys.condor``: ``requirements``, ``rank``, and
attributes of the job as ``+Name``. A text is an expression in HTCondor's language, so a string has quotes
of its own. What is let through here is whole: it ends no command of a submit description and no parenthesis
around it, and calls no function that HTCondor does not know, so a site can take it without a second look.
Backslashes in strings are refused: submit descriptions and ClassAds do not agree on what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

__all__ = ["ClassAdError", "Reader", "check_classads", "checked_classads", "is_let", "not_let"]

MOST = 20
MOST_CHARACTERS = 1000
MOST_NESTED = 20
COMMANDS = ("requirements", "rank")
"""The commands of a submit description that a task may give."""

_NAME = re.compile(r"(?:\+|my\.)([A-Za-z_][A-Za-z0-9_]{0,99})", re.IGNORECASE)
_OURS = re.compile(
    r"iceprod|request|requirements$|rank$|periodic|onexit|leavejob|transfer|should|whento|stream|job|num"
    r"|q_?date|owner$|user|cmd$|args|arguments|env|iwd$|in$|out$|err$|clusterid$|procid$|acct|accounting|nice|hold|remove"
    r"|release|submit|x509|container|docker|grid(resource|type)|kill|exit|allowed|concurrency|last|entered|current"
    r"|shadow|starter|remote|maxhosts|minhosts|target|mytype|universe|wantio|wantremote|coresize|cron|deferral"
    r"|stage|spool|oauth|token|sendcredential|auth", re.IGNORECASE)
_TOKEN = re.compile(r"""
    [ ]*(?: (?P<number> (?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)? )
         | (?P<text> "[^"\\$\x00-\x1f\x7f]*" )
         | (?P<name> [A-Za-z_][A-Za-z0-9_]* )
         | (?P<sign> =\?= | =!= | == | != | <= | >= | && | \|\| | [-+*/%<>!?:(){},.] ) )""", re.VERBOSE)
_BETWEEN = {"=?=", "=!=", "==", "!=", "<=", ">=", "<", ">", "&&", "||", "+", "-", "*", "/", "%", "is", "isnt"}
_FUNCTIONS = {name.lower() for name in (
    "ifThenElse", "isUndefined", "isError", "isString", "isInteger", "isReal", "isBoolean", "isList", "int",
    "real", "string", "bool", "floor", "ceiling", "round", "quantize", "strcat", "substr", "strcmp",
    "stricmp",
    "toUpper", "toLower", "size", "split", "splitUserName", "join", "member", "identicalMember", "anyCompare",
    "allCompare", "sum", "avg", "min", "max", "regexp", "regexpMember", "regexps", "replace", "replaceAll",
    "stringListSize", "stringListSum", "stringListMember", "stringListIMember", "stringListsIntersect",
    "stringListRegexpMember", "versionGT", "versionGE", "versionLT", "versionLE", "versionEQ",
    "version_in_range", "versioncmp", "time")}

Document = dict[str, Any]


class ClassAdError(ValueError):
    """Attributes that no job may have; the text names the attribute and says why."""


def check_classads(given: object) -> None:
    """Raise ClassAdError unless these are attributes as `checked_classads` makes them."""
    if not isinstance(given, Mapping) or given != checked_classads(given):
        raise ClassAdError("Bad type for classads, should be attributes of jobs such as +Name")


def checked_classads(given: object) -> dict[str, str]:
    """Attributes by name: ``requirements``, ``rank``, ``+Name``, with expressions as HTCondor takes them.

    Raises ClassAdError.
    """
    if not isinstance(given, Mapping):
        raise ClassAdError("batchsys.condor should be an object of names and values")
    if len(given) > MOST:
        raise ClassAdError(f"batchsys.condor has {len(given)} attributes; {MOST} are the most")
    found: dict[str, str] = {}
    for name, value in given.items():
        known = _named(str(name))
        if known.lower() in (other.lower() for other in found):
            raise ClassAdError(f"{known} is given twice: the case of letters makes no difference")
        found[known] = _written(str(name), value)
    return dict(sorted(found.items()))


def is_let(name: str, patterns: list[str]) -> bool:
    """Whether a site takes an attribute that lets names of these patterns through (``*``, ``?``)."""
    bare = name.lower().removeprefix("+")
    return any(fnmatchcase(bare, pattern.lower().removeprefix("+")) for pattern in patterns)


def not_let(given: Mapping[str, str], patterns: list[str]) -> list[str]:
    """The attributes that such a site does not take."""
    return [name for name in given if not is_let(name, patterns)]


def _named(name: str) -> str:
    if name.lower() in COMMANDS:
        return name.lower()
    found = _NAME.fullmatch(name)
    if found is None:
        bare = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
        hint = f"; an attribute of the job is written +{name}" if bare and not _OURS.match(name) else ""
        raise ClassAdError(f"{name[:100]!r} cannot be set by a task, only requirements, rank and +Name{hint}")
    if _OURS.match(found[1]):
        raise ClassAdError(f"{name[:100]!r} is set by us or by HTCondor itself; say what the task needs in "
                           "its requirements")
    return f"+{found[1]}"


def _written(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float) and abs(value) < 1e18:
        return str(value)
    if not isinstance(value, str):
        raise ClassAdError(f"{name[:100]!r} should be an expression, a number, or true or false")
    text = re.sub(r"[\t\r\n]", " ", value).strip(" ")
    try:
        Reader(text).read()
    except ClassAdError as error:
        raise ClassAdError(f"{name[:100]!r}: {error}") from None
    return text


class Reader:
    """Reads one expression, in one line, to its end, and makes nothing of it."""

    def __init__(self, text: str) -> None:
        if len(text) > MOST_CHARACTERS:
            raise ClassAdError(f"an expression of more than {MOST_CHARACTERS} characters")
        self._tokens = [*_tokens(text), ("end", "")]
        self._at = self._depth = 0

    def read(self) -> None:
        """Raises ClassAdError when the text is not one whole expression."""
        self._expression()
        if self._kind != "end":
            raise self._unexpected()

    @property
    def _kind(self) -> str:
        return self._tokens[self._at][0]

    @property
    def _word(self) -> str:
        return self._tokens[self._at][1]

    def _take(self, *signs: str) -> bool:
        if self._kind in ("sign", "name") and self._word.lower() in signs:
            self._at += 1
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise self._unexpected(f"; {sign} is missing")

    def _unexpected(self, more: str = "") -> ClassAdError:
        what = f"{self._word[:40]!r} is not expected" if self._kind != "end" else "it ends too early"
        return ClassAdError(f"no expression of HTCondor's: {what}{more} (a string has quotes of its own)")

    def _expression(self) -> None:
        self._depth += 1
        if self._depth > MOST_NESTED:
            raise ClassAdError(f"parts nested more than {MOST_NESTED} deep")
        self._operand()
        while self._take(*_BETWEEN):
            self._operand()
        if self._take("?"):
            self._expression()
            self._expect(":")
            self._expression()
        self._depth -= 1

    def _operand(self) -> None:
        while self._take("!", "-", "+"):
            pass
        if self._take("("):
            self._expression()
            self._expect(")")
        elif self._take("{"):
            self._listed("}")
        elif self._kind in ("number", "text"):
            self._at += 1
        elif self._kind == "name":
            self._name()
        else:
            raise self._unexpected()

    def _name(self) -> None:
        name = self._word
        if name.lower() in _BETWEEN:
            raise self._unexpected()
        self._at += 1
        if self._take("("):
            if name.lower() not in _FUNCTIONS:
                raise ClassAdError(f"there is no function {name[:40]!r} that a task may use")
            self._listed(")")
        elif self._take("."):
            if name.lower() not in ("my", "target") or self._kind != "name":
                raise self._unexpected("; only MY. and TARGET. are followed by a name")
            self._at += 1

    def _listed(self, end: str) -> None:
        if self._take(end):
            return
        self._expression()
        while self._take(","):
            self._expression()
        self._expect(end)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at, end = 0, len(text.rstrip(" "))
    while at < end:
        found = _TOKEN.match(text, at)
        if found is None:
            rest = text[at:at + 20].strip()
            why = " ($ is evaluated by IceProd, without the job's number)" if "$" in text[at:] else ""
            raise ClassAdError(f"{rest!r} is not understood{why}")
        yield str(found.lastgroup), found[str(found.lastgroup)]
        at = found.end()
