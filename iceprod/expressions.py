"""The ``$…`` expressions of dataset configurations.

    $name  $(name)             a parameter, an option of the task, or a value of the configuration
    $steering(x) $system(x) $options(x) $args(x) $metadata(x) $environ(x)
    $sprintf("%06d", $(job))   C-style formatting
    $eval(2*$(job)+1)          arithmetic: + - * / // % ** ^ ~ and parentheses
    $choice(a, b, c)           one of them, always the same one for one task
    $sum(1,2) $min(1,2) $max(1,2) $len(1,2)
    $steering(list)[2]  $steering(dict)[key]

Expressions nest. One that cannot be evaluated stays as it is written. A text that as a whole reads as a
number, a boolean or JSON becomes that value; digits with leading zeros stay text.

Nothing here runs code: arithmetic is read with Python's grammar and done on numbers alone. All expressions of
one task share a `Budget`: short ones can ask for very much, and the server evaluates them.
"""

from __future__ import annotations

import ast
import json
import math
import operator
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FUNCTIONS", "MAX_SIZE", "MAX_STEPS", "SPACES", "Budget", "Scope", "TooCostly", "check", "expand"]

MAX_DEPTH = 20
MAX_EXPANSIONS = 10_000  # of one text, nested ones included
MAX_LENGTH = 1_000_000
MAX_WIDTH = 1000  # of a number formatted by sprintf
MAX_FORMULA = 1000
MAX_EXPONENT = 1000


MAX_STEPS = 5_000_000  # of one task: characters that are looked at, and values that are passed on; a second
MAX_SIZE = 32_000_000  # characters of all that its expressions make


class TooCostly(ValueError):
    """Expressions take too many steps, or make too much; the text says which."""


@dataclass
class Budget:
    """What the expressions of one task may take and make, all together. Spending more raises TooCostly."""

    steps: int = MAX_STEPS
    size: int = MAX_SIZE

    def spend(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < 0:
            raise TooCostly("its expressions take too many steps")

    def grow(self, size: int) -> None:
        self.size -= size
        if self.size < 0:
            raise TooCostly("its expressions make too much text")


class _CannotEvaluateError(ValueError):
    """An expression has no value; it stays as it is written."""


@dataclass
class Scope:
    """Where names are looked up, nearest first: parameters, the configuration, its options, its steering."""

    config: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=dict)
    seed: str = ""  # of $choice
    budget: Budget = field(default_factory=Budget)

    def lookup(self, name: str) -> Any:
        if name in self.parameters:
            return self.parameters[name]
        if name in self.config and not isinstance(self.config[name], (dict, list)):
            return self.config[name]
        for values in (self.options, self._part("options"), self._steering("parameters")):
            if name in values:
                return values[name]
        raise _CannotEvaluateError(name)

    def lookup_in(self, space: str, name: str) -> Any:
        for values in self._spaces(space):
            if name in values:
                return values[name]
        raise _CannotEvaluateError(name)

    def _spaces(self, space: str) -> tuple[Mapping[str, Any], ...]:
        if space == "steering":
            return (self._steering("parameters"),)
        if space == "system":
            return (self._steering("system"),)
        if space == "environ":
            return (self.environ,)
        if space == "metadata":
            return (self._part("metadata"),)
        return (self.options, self._part("options"))

    def _part(self, name: str) -> Mapping[str, Any]:
        part = self.config.get(name)
        return part if isinstance(part, dict) else {}

    def _steering(self, name: str) -> Mapping[str, Any]:
        part = self._part("steering").get(name)
        return part if isinstance(part, dict) else {}


SPACES = ("steering", "system", "environ", "args", "options", "metadata")


def expand(value: Any, scope: Scope) -> Any:
    """`value` with the expressions in its texts evaluated, through lists and dicts, keys too.

    Raises TooCostly.
    """
    if isinstance(value, str):
        return _read(_expanded(value, scope) if "$" in value else value)
    if isinstance(value, list):
        return [expand(item, scope) for item in value]
    if isinstance(value, dict):
        return {_as_text(expand(key, scope)) if "$" in key else key: expand(item, scope)
                for key, item in value.items()}
    return value


def _expanded(text: str, scope: Scope) -> Any:
    try:
        return _Expander(scope).value_of(text, 0)
    except _TooLargeError:
        return text


def check(text: str, budget: Budget | None = None) -> str | None:
    """What is wrong with the form of a text's expressions, or None: a parenthesis that is not closed.

    Raises TooCostly.
    """
    at, budget = 0, budget or Budget()
    while True:
        at = text.find("$", at)
        if at < 0:
            return None
        start = _name_end(text, at + 1)
        if start < len(text) and text[start] == "(" and _closing(text, start, budget) < 0:
            return f"'(' is not closed in {text[at:at + 60]!r}"
        at += 1


# -- reading a text as a value


_INTEGER = re.compile(r"[+-]?(0|[1-9][0-9]{0,17})")
_FLOAT = re.compile(r"[+-]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][+-]?[0-9]{1,3})?")
_LEADING_ZERO = re.compile(r"[+-]?0[0-9]")


def _read(value: Any) -> Any:
    """A text as the number, boolean, list or object that it looks like, else as it is."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text in ("true", "True"):
        return True
    if text in ("false", "False"):
        return False
    if _INTEGER.fullmatch(text):
        return int(text)
    if _FLOAT.fullmatch(text) and not _LEADING_ZERO.match(text):
        number = float(text)
        return number if math.isfinite(number) else value
    if text[:1] in ("[", "{"):
        try:
            return json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return value
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _as_text(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return json.dumps(value)
    return str(value)


# -- finding the parts of a text


def _name_end(text: str, at: int) -> int:
    while at < len(text) and (text[at].isalnum() or text[at] == "_"):
        at += 1
    return at


_CLOSING = {"(": ")", "[": "]"}


def _closing(text: str, at: int, budget: Budget) -> int:
    """Where the bracket at `at` is closed, quoted texts aside; -1 when it is not."""
    found = _closed_at(text, at)
    budget.spend((len(text) if found < 0 else found) - at)
    return found


def _closed_at(text: str, at: int) -> int:
    opening, closing = text[at], _CLOSING[text[at]]
    depth, quote, last = 0, "", {sign: text.rfind(sign) for sign in "\"'"}
    for position in range(at, len(text)):
        sign = text[position]
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign if position < last[sign] else ""
        elif sign == opening:
            depth += 1
        elif sign == closing:
            depth -= 1
            if depth == 0:
                return position
    return -1


def _split(text: str) -> list[str]:
    """Arguments, separated by commas that stand in no bracket and no quotation."""
    parts, depth, quote, start = [], 0, "", 0
    last = {sign: text.rfind(sign) for sign in "\"'"}
    for position, sign in enumerate(text):
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign if position < last[sign] else ""
        elif sign in "([{":
            depth += 1
        elif sign in ")]}":
            depth -= 1
        elif sign == "," and depth == 0:
            parts.append(text[start:position].strip())
            start = position + 1
    parts.append(text[start:].strip())
    return parts


def _unquote(text: str) -> str:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        return text[1:-1]
    return text


# -- evaluating


class _Expander:
    """Evaluates the expressions of one text; counts what it does, so that no text costs more than a bit."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.left = MAX_EXPANSIONS
        self.size = MAX_LENGTH
        self.budget = scope.budget

    def value_of(self, text: str, depth: int) -> Any:
        """The text with its expressions evaluated; the value itself when the text is one expression."""
        parts: list[Any] = []
        at = 0
        self.budget.spend(len(text))
        while at < len(text):
            dollar = text.find("$", at)
            if dollar < 0:
                dollar = len(text)
            if dollar > at:
                parts.append(text[at:dollar])
            if dollar == len(text):
                break
            value, at = self._expression(text, dollar, depth)
            parts.append(value)
        if len(parts) == 1:
            return parts[0]
        return self._joined(parts)

    def _joined(self, parts: list[Any]) -> str:
        texts = [_as_text(part) for part in parts]
        length = sum(map(len, texts))
        self.size -= length
        if self.size < 0:
            raise _TooLargeError
        self.budget.grow(length)
        return "".join(texts)

    def _expression(self, text: str, at: int, depth: int) -> tuple[Any, int]:
        """The value of the expression that begins at `at`, and where the text goes on after it."""
        name_end = _name_end(text, at + 1)
        end = name_end
        if end < len(text) and text[end] == "(":
            closing = _closing(text, end, self.budget)
            if closing < 0:
                return text[at:name_end + 1], name_end + 1
            end = closing + 1
        elif name_end == at + 1:
            return "$", at + 1
        try:
            return self._indexed(text, at, name_end, end, depth)
        except (_CannotEvaluateError, _TooLargeError):
            return text[at:end], end

    def _indexed(self, text: str, at: int, name_end: int, end: int, depth: int) -> tuple[Any, int]:
        self.left -= 1
        if self.left < 0 or depth >= MAX_DEPTH:
            raise _CannotEvaluateError(text[at:end])
        name, arguments = text[at + 1:name_end], text[name_end + 1:end - 1] if end > name_end else None
        value = self._call(name, arguments, depth)
        while end < len(text) and text[end] == "[" and isinstance(value, (list, dict)):
            closing = _closing(text, end, self.budget)
            if closing < 0:
                break
            value = self._item(value, text[end + 1:closing], depth)
            end = closing + 1
        return value, end

    def _item(self, value: Any, index: str, depth: int) -> Any:
        key = _unquote(_as_text(self.value_of(index, depth + 1)).strip())
        if isinstance(value, dict):
            if key in value:
                return self._deeper(value[key], depth)
        elif re.fullmatch(r"[+-]?[0-9]{1,9}", key) and -len(value) <= int(key) < len(value):
            return self._deeper(value[int(key)], depth)
        raise _CannotEvaluateError(index)

    def _call(self, name: str, arguments: str | None, depth: int) -> Any:
        if arguments is None:
            return self._deeper(self.scope.lookup(name), depth)
        if name in FUNCTIONS:
            return FUNCTIONS[name](self._arguments(arguments, depth), self.scope)
        if name and name not in SPACES:
            # a parameter with a bracket behind it, as in "$name(x)"
            raise _CannotEvaluateError(name)
        wanted = _unquote(_as_text(self.value_of(arguments, depth + 1)).strip())
        found = self.scope.lookup_in(name, wanted) if name else self.scope.lookup(wanted)
        return self._deeper(found, depth)

    def _arguments(self, text: str, depth: int) -> list[Any]:
        """The evaluated arguments: texts, but for those that are one expression of another type."""
        self.budget.spend(len(text))
        return [_unquote(part) if part[:1] in ("'", '"') and "$" not in part else self._argument(part, depth)
                for part in _split(text)]

    def _argument(self, text: str, depth: int) -> Any:
        value = self.value_of(text, depth + 1)
        return _unquote(value) if isinstance(value, str) else value

    def _deeper(self, value: Any, depth: int) -> Any:
        """A value that was found, with its own expressions evaluated."""
        if isinstance(value, str):
            self.budget.spend(1 + len(value) // 64)  # it is copied sooner or later, not read
            return self.value_of(value, depth + 1) if "$" in value else value
        self.budget.spend(1 + (len(value) if isinstance(value, (list, dict)) else 0))
        if isinstance(value, list):
            return [self._deeper(item, depth + 1) for item in value]
        if isinstance(value, dict):
            return {key: self._deeper(item, depth + 1) for key, item in value.items()}
        return value


class _TooLargeError(ValueError):
    """A text would grow beyond MAX_LENGTH."""


# -- functions


def _numbers(arguments: list[Any]) -> list[Any]:
    if len(arguments) == 1 and isinstance(arguments[0], list):
        arguments = arguments[0]
    values = [_read(item) for item in arguments]
    if not values or any(isinstance(v, bool) or not isinstance(v, (int, float)) for v in values):
        raise _CannotEvaluateError("not numbers")
    return values


def _length(arguments: list[Any], scope: Scope) -> int:
    if len(arguments) == 1 and isinstance(arguments[0], (list, dict)):
        return len(arguments[0])
    return 0 if arguments == [""] else len(arguments)


def _choice(arguments: list[Any], scope: Scope) -> Any:
    if len(arguments) == 1 and isinstance(arguments[0], list):
        arguments = arguments[0]
    if not arguments:
        raise _CannotEvaluateError("nothing to choose from")
    return random.Random(f"{scope.seed}:{arguments!r}").choice(arguments)


_CONVERSION = re.compile(r"%(?:%|[-+ #0]*(\d*)(?:\.(\d*))?([diouxXeEfFgGcrs]))")


def _sprintf(arguments: list[Any], scope: Scope) -> str:
    form = _as_text(arguments[0])
    if "%" in _CONVERSION.sub("", form):
        raise _CannotEvaluateError("an unknown conversion")
    found = list(_CONVERSION.finditer(form))
    widths = [int(size[:9]) for match in found for size in match.group(1, 2) if size]
    if any(width > MAX_WIDTH for width in widths):
        raise _CannotEvaluateError("too wide")
    scope.budget.grow(len(form) + sum(widths))
    values = [_converted(value, match.group(3)) for value, match in
              zip(arguments[1:], [match for match in found if match.group(3)], strict=False)]
    try:
        return form % tuple(values)
    except (TypeError, ValueError, OverflowError):
        raise _CannotEvaluateError("wrong arguments") from None


def _converted(value: Any, conversion: str) -> Any:
    """An argument as the conversion wants it: a number, but for those of text."""
    if conversion in "crs":
        return value
    number = _read(value)
    if isinstance(value, str) and _LEADING_ZERO.match(value) and value.lstrip("+-").isdigit():
        number = int(value)
    if isinstance(number, str):
        raise _CannotEvaluateError("not a number")
    return number


def _evaluate(arguments: list[Any], scope: Scope) -> Any:
    formula = ",".join(_as_text(argument) for argument in arguments)
    if len(formula) > MAX_FORMULA:
        raise _CannotEvaluateError("too long")
    try:
        value = _calculate(ast.parse(formula.strip(), mode="eval").body)
    except (SyntaxError, ValueError, ArithmeticError, RecursionError, MemoryError, TypeError):
        raise _CannotEvaluateError(formula) from None
    if isinstance(value, float) and not math.isfinite(value):
        raise _CannotEvaluateError("not finite")
    if isinstance(value, int) and abs(value) >= 1 << 63:
        raise _CannotEvaluateError("too large")
    return value


def _power(base: Any, exponent: Any) -> Any:
    if abs(exponent) > MAX_EXPONENT or abs(base) > 1e100:
        raise _CannotEvaluateError("too large")
    result = base ** exponent
    if isinstance(result, complex):
        raise _CannotEvaluateError("not a real number")
    return result


_BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.Pow: _power, ast.BitXor: operator.xor}
_UNARY: dict[type, Callable[[Any], Any]] = {
    ast.UAdd: operator.pos, ast.USub: operator.neg, ast.Invert: operator.invert}


def _calculate(node: ast.AST) -> Any:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return _bounded(_BINARY[type(node.op)](_calculate(node.left), _calculate(node.right)))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_calculate(node.operand))
    raise _CannotEvaluateError("not arithmetic")


def _bounded(value: Any) -> Any:
    if isinstance(value, int) and value.bit_length() > 20_000:
        raise _CannotEvaluateError("too large")
    return value


FUNCTIONS: dict[str, Callable[[list[Any], Scope], Any]] = {
    "sprintf": _sprintf, "eval": _evaluate, "choice": _choice, "len": _length,
    "sum": lambda arguments, scope: sum(_numbers(arguments)),
    "min": lambda arguments, scope: min(_numbers(arguments)),
    "max": lambda arguments, scope: max(_numbers(arguments)),
}
