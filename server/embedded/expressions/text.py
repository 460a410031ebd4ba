"""Strings and regular expressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bson import Regex

from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.predicates import regex_with_options
from server.embedded.documents.regexes import Found, Pattern, compile_regex
from server.embedded.documents.values import is_date, is_number, type_alias
from server.embedded.expressions.arrays import whole
from server.embedded.expressions.core import (
    MANY,
    Expression,
    Variables,
    arguments,
    is_null,
    named_arguments,
    operator,
    plain,
)  # fmt: skip
from server.embedded.expressions.types import to_string

_SPACES = "\0\t\n\v\f\r \u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
_ASCII_UPPER = {ord("a") + i: ord("A") + i for i in range(26)}
_ASCII_LOWER = {ord("A") + i: ord("a") + i for i in range(26)}


def text_of(name: str, value: Any) -> str:
    """The value, which must be a string."""
    if not isinstance(value, str):
        raise CommandError(Code.Location16702, f"{name} only supports strings, not {type_alias(value)}")
    return value


@operator("$concat")
def _concat(operand: Any) -> Expression:
    items = arguments("$concat", operand, 0, MANY)

    def value(document: Any, variables: Variables) -> Any:
        found = [item(document, variables) for item in items]
        if any(map(is_null, found)):
            return None
        return "".join(text_of("$concat", item) for item in found)

    return value


def coerced(value: Any) -> str:
    """A string, number or date as a string; null and missing are ""."""
    if is_null(value):
        return ""
    if isinstance(value, str):
        return value
    if is_number(value) or is_date(value):
        return str(to_string(value))
    raise CommandError(Code.Location16007, f"can't convert from BSON type {type_alias(value)} to String")


plain("$toLower", 1, None, lambda value: coerced(value).translate(_ASCII_LOWER))
plain("$toUpper", 1, None, lambda value: coerced(value).translate(_ASCII_UPPER))
plain("$strcasecmp", 2, None, lambda a, b: _order(coerced(a).upper(), coerced(b).upper()))


def _order(left: str, right: str) -> int:
    return (left > right) - (left < right)


def _cut_bytes(value: Any, start: Any, count: Any) -> str:
    data, first, size = coerced(value).encode(), whole("$substrBytes", start), whole("$substrBytes", count)
    if first < 0:
        raise CommandError(Code.Location50752, "$substrBytes: starting index must be non-negative")
    cut = data[first:] if size < 0 else data[first : first + size]
    try:
        return cut.decode()
    except UnicodeDecodeError:
        text = "$substrBytes: the range begins or ends within a UTF-8 character"
        raise CommandError(Code.Location28656, text) from None


def _cut(value: Any, start: Any, count: Any) -> str:
    first, size = whole("$substrCP", start), whole("$substrCP", count)
    if first < 0 or size < 0:
        raise CommandError(Code.Location34455, "$substrCP: start and length must be non-negative")
    return coerced(value)[first : first + size]


plain("$substr", 3, None, _cut_bytes)
plain("$substrBytes", 3, None, _cut_bytes)
plain("$substrCP", 3, None, _cut)
plain("$strLenCP", 1, None, lambda value: len(text_of("$strLenCP", value)))
plain("$strLenBytes", 1, None, lambda value: len(text_of("$strLenBytes", value).encode()))


def _split(value: Any, separator: Any) -> Any:
    if is_null(value) or is_null(separator):
        return None
    if not text_of("$split", separator):
        raise CommandError(Code.Location40087, "$split requires a non-empty separator")
    return text_of("$split", value).split(separator)


plain("$split", 2, None, _split)


def _index_of(name: str, measure: Callable[[str], Any]) -> None:
    def find(value: Any, part: Any, start: Any = 0, end: Any = None) -> Any:
        if is_null(value):
            return None
        text, wanted = measure(text_of(name, value)), measure(text_of(name, part))
        last = len(text) if is_null(end) else whole(name, end)
        return text.find(wanted, whole(name, start), max(last, 0))

    plain(name, 2, 4, find)


_index_of("$indexOfBytes", str.encode)
_index_of("$indexOfCP", str)


def _trimming(name: str, strip: Callable[[str, str], str]) -> None:
    @operator(name)
    def compiler(operand: Any) -> Expression:
        named = named_arguments(name, operand, ("input",), ("chars",))

        def value(document: Any, variables: Variables) -> Any:
            text = named["input"](document, variables)
            chars = named["chars"](document, variables) if "chars" in named else _SPACES
            if is_null(text) or is_null(chars):
                return None
            return strip(text_of(name, text), text_of(name, chars))

        return value


_trimming("$trim", str.strip)
_trimming("$ltrim", str.lstrip)
_trimming("$rtrim", str.rstrip)


def _replacing(name: str, count: int) -> None:
    @operator(name)
    def compiler(operand: Any) -> Expression:
        named = named_arguments(name, operand, ("input", "find", "replacement"))

        def value(document: Any, variables: Variables) -> Any:
            found = [named[key](document, variables) for key in ("input", "find", "replacement")]
            if any(map(is_null, found)):
                return None
            text, old, new = (text_of(name, item) for item in found)
            return text.replace(old, new, count)

        return value


_replacing("$replaceOne", 1)
_replacing("$replaceAll", -1)


def _pattern(name: str, regex: Any, options: Any) -> Pattern:
    if not isinstance(regex, str | Regex):
        raise CommandError(Code.Location51105, f"{name} needs 'regex' to be of type string or regex")
    return compile_regex(regex_with_options(regex, None if is_null(options) else options))


def _matching(name: str, result: Callable[[Pattern, str], Any], nothing: Any) -> None:
    @operator(name)
    def compiler(operand: Any) -> Expression:
        if isinstance(operand, Mapping) and isinstance(operand.get("regex"), Regex):
            operand = {**operand, "regex": {"$literal": operand["regex"]}}
        named = named_arguments(name, operand, ("input", "regex"), ("options",))

        def value(document: Any, variables: Variables) -> Any:
            text, regex = named["input"](document, variables), named["regex"](document, variables)
            options = named["options"](document, variables) if "options" in named else None
            if is_null(text) or is_null(regex):
                return nothing
            return result(_pattern(name, regex, options), text_of(name, text))

        return value


def _found(match: Found | None) -> Any:
    return match and {"match": match[0], "idx": match.start(), "captures": list(match.groups())}


_matching("$regexMatch", lambda pattern, text: pattern.search(text) is not None, False)
_matching("$regexFind", lambda pattern, text: _found(pattern.search(text)), None)
_matching("$regexFindAll", lambda pattern, text: [_found(match) for match in pattern.finditer(text)], [])
