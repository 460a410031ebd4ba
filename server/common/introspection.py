"""What a handler's method reads and answers, found in its source: the parameters of its query, whether it
reads a body, and the statuses it answers with.

The description of the API is made from this, so that it cannot say anything else than what is served.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tornado.web import RequestHandler

__all__ = ["Used", "used"]

_QUERIES = {"query": "string", "get_query_argument": "string", "query_list": "string",
            "query_given": "string", "index": "integer", "query_bool": "boolean", "query_int": "integer"}
_BODIES = {"json_body", "update_fields"}


@dataclass
class Used:
    """What one method uses: query parameters with their JSON types, whether a body, statuses of success."""

    queries: dict[str, str] = field(default_factory=dict)
    body: bool = False
    statuses: set[int] = field(default_factory=set)


def used(handler: type[RequestHandler], method: str) -> Used:
    """What a method uses, itself and through the handler's other methods."""
    if (handler, method) not in _known:
        found, seen = Used(), {"prepare"}
        _follow(handler, method, found, seen)
        found.statuses = {code for code in found.statuses if code < 300} or {200}
        _known[handler, method] = found
    return _known[handler, method]


def _follow(handler: type, name: str, found: Used, seen: set[str]) -> None:
    function = getattr(handler, name, None)
    if name in seen or not inspect.isfunction(function) or _is_tornados(function):
        return
    seen.add(name)
    tree = _parsed(function)
    for call in _calls_of_self(tree):
        called = call.func.attr  # type: ignore[attr-defined]
        if called in _QUERIES:
            for parameter in _first_argument(call, tree):
                found.queries.setdefault(parameter, _QUERIES[called])
        elif called == "send":
            found.statuses.add(_second_argument(call))
        else:
            found.body |= called in _BODIES
            _follow(handler, called, found, seen)


_known: dict[tuple[type[RequestHandler], str], Used] = {}


def _is_tornados(function: Callable[..., object]) -> bool:
    return function.__module__.startswith("tornado.")


@functools.cache
def _parsed(function: Callable[..., object]) -> ast.AST:
    return ast.parse(textwrap.dedent(inspect.getsource(function)))


def _calls_of_self(tree: ast.AST) -> Iterator[ast.Call]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="self"))):
                yield node


def _second_argument(call: ast.Call) -> int:
    match call.args:
        case [_, ast.Constant(value=int(code))]:
            return code
    return 200


def _first_argument(call: ast.Call, tree: ast.AST) -> list[str]:
    """The names that the first argument stands for: a constant, or what a loop puts there."""
    match call.args:
        case [ast.Constant(value=str(name)), *_]:
            return [name]
        case [ast.Name(id=variable), *_]:
            return _values_in_loop(variable, tree)
    return []


def _values_in_loop(variable: str, tree: ast.AST) -> list[str]:
    for node in ast.walk(tree):
        match node:
            case ast.For(target=target, iter=source) | ast.comprehension(target=target, iter=source):
                position = _position(variable, target)
                if position is not None:
                    return [name for item in _items(source, tree) if (name := _text(item, position))]
    return []


def _position(variable: str, target: ast.expr) -> int | None:
    """Where a variable stands in the target of a loop: -1 for the target itself."""
    match target:
        case ast.Name(id=name):
            return -1 if name == variable else None
        case ast.Tuple(elts=parts):
            names = [part.id if isinstance(part, ast.Name) else "" for part in parts]
            return names.index(variable) if variable in names else None
    return None


def _items(source: ast.expr, tree: ast.AST) -> list[ast.expr]:
    match source:
        case ast.Tuple(elts=items) | ast.List(elts=items):
            return items
        case ast.Name(id=name):
            for node in ast.walk(tree):
                match node:
                    case ast.Assign(targets=[ast.Name(id=assigned)], value=value) if assigned == name:
                        return _items(value, tree) if not isinstance(value, ast.Name) else []
    return []


def _text(item: ast.expr, position: int) -> str:
    match item:
        case ast.Constant(value=str(text)) if position == -1:
            return text
        case ast.Tuple(elts=parts) if position >= 0:
            return _text(parts[position], -1)
    return ""
