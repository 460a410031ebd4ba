"""Which fields of a document are given: find's projection, $project, $addFields, $unset."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from server.embedded.documents import paths
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.values import MISSING, Document, as_document, is_number
from server.embedded.expressions import Expression, Variables, compile_expression
from server.embedded.query import matching, query

Tree = dict[str, Any]  # a name → True, or the tree of what is below
Projection = Callable[[Document, Variables], Document]
_Special = Callable[[Document, Document], None]  # the original, the result that is changed

_CONFLICT = "Path collision at {} remaining portion"


def compile_projection(spec: Mapping[str, Any], tree: query.Node | None = None) -> Projection:
    """The function of a projection; `tree` is the filter, when it is find's (with $slice and the like).

    Raises CommandError when fields are both included and excluded, or paths collide.
    """
    plan = _Plan(find=tree is not None)
    for path, value in spec.items():
        plan.add(path, value)
    return plan.compile(tree)


class _Plan:
    """A projection while it is read."""

    def __init__(self, find: bool) -> None:
        self.find = find
        self.included: Tree = {}
        self.excluded: Tree = {}
        self.computed: Tree = {}
        self.id: bool | None = None
        self.positional: str | None = None
        self.slices: list[tuple[str, Any]] = []
        self.elements: list[tuple[str, Any]] = []

    def add(self, path: str, value: Any) -> None:
        if path == "_id" and is_flag(value):
            self.id = bool(value)
        elif self.find and path.endswith(".$"):
            self.positional = path[:-2]
            insert(self.included, path[:-2], True)
        elif self.find and isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in _FIND_ONLY:
            self._add_special(path, value)
        elif is_flag(value):
            insert(self.included if value else self.excluded, path, True)
        elif isinstance(value, Mapping) and not query.is_operators(value):
            if not value:
                raise CommandError(Code.Location51270, "An empty sub-projection is not a valid value.")
            for name, inner in value.items():
                self.add(f"{path}.{name}", inner)
        else:
            insert(self.computed, path, compile_expression(value))

    def _add_special(self, path: str, value: Mapping[str, Any]) -> None:
        ((name, operand),) = value.items()
        if name == "$slice" and (is_number(operand) or _is_slice(operand)):
            self.slices.append((path, operand))
        elif name == "$elemMatch":
            self.elements.append((path, operand))
        else:
            insert(self.computed, path, compile_expression(value))

    def compile(self, tree: query.Node | None) -> Projection:
        if self.included and self.excluded:
            text = (
                "Cannot do exclusion on fields in inclusion projection, or inclusion in exclusion projection"
            )
            raise CommandError(Code.Location31254, text)
        if self.excluded and self.computed:
            raise CommandError(Code.Location31252, "Cannot use an expression in an exclusion projection")
        steps = [*map(_slice, self.slices), *map(_element, self.elements)]
        if self.positional is not None:
            steps.append(_positional(self.positional, tree or query.Every(())))
        base = self._base()
        if not steps:
            return base
        return lambda document, variables: _with_specials(document, base(document, variables), steps)

    def _base(self) -> Projection:
        inclusive = bool(self.included or self.computed or self.elements or (self.id and not self.excluded))
        if self.slices and not self.included and not self.computed:
            inclusive = False
        if inclusive:
            included = {path: True for path, _ in [*self.elements, *self.slices]}
            for path in included:
                insert(self.included, path, True)
            return _inclusion(self.included, self.computed, self.id is not False)
        excluded = {**self.excluded, "_id": True} if self.id is False else self.excluded
        return lambda document, variables: exclude(excluded, document)


_FIND_ONLY = ("$slice", "$elemMatch")


def is_flag(value: Any) -> bool:
    """Is it 0, 1, true, false?"""
    return isinstance(value, bool) or is_number(value)


def _is_slice(operand: Any) -> bool:
    return isinstance(operand, list) and len(operand) == 2 and all(map(is_number, operand))


def insert(tree: Tree, path: str, value: Any) -> None:
    """Put a leaf into a tree.

    Raises CommandError when a path is there already, or passes through a leaf.
    """
    parts = paths.split(path)
    if "" in parts or any(part.startswith("$") for part in parts):
        raise CommandError(Code.FieldPathInvalid, f"FieldPath '{path}' is not valid here")
    for part in parts[:-1]:
        tree = tree.setdefault(part, {})
        if not isinstance(tree, dict):
            raise CommandError(Code.Location31249, f"Path collision at {path}")
    if parts[-1] in tree:
        raise CommandError(Code.Location31250, f"Path collision at {path}")
    tree[parts[-1]] = value


def _inclusion(included: Tree, computed: Tree, with_id: bool) -> Projection:
    wanted = {"_id": True, **included} if with_id and "_id" not in computed else included
    if all(value is True for value in wanted.values()) and not computed:
        names = frozenset(wanted)
        return lambda document, variables: {k: v for k, v in document.items() if k in names}

    def project(document: Document, variables: Variables) -> Document:
        found = include(wanted, document)
        return add_fields(computed, found, document, variables) if computed else found

    return project


def include(tree: Tree, document: Mapping[str, Any]) -> Document:
    """The fields of a document that the tree has."""
    found: Document = {}
    for name, value in document.items():
        below = tree.get(name)
        if below is True:
            found[name] = value
        elif below is not None:
            inner = _include_value(below, value)
            if inner is not MISSING:
                found[name] = inner
    return found


def _include_value(tree: Tree, value: Any) -> Any:
    if isinstance(value, list):
        found = (_include_value(tree, item) for item in value)
        return [item for item in found if item is not MISSING]
    document = as_document(value)
    return MISSING if document is None else include(tree, document)


def exclude(tree: Tree, document: Mapping[str, Any]) -> Document:
    """The fields of a document that the tree has not."""
    found: Document = {}
    for name, value in document.items():
        below = tree.get(name)
        if below is None:
            found[name] = value
        elif below is not True:
            found[name] = _exclude_value(below, value)
    return found


def _exclude_value(tree: Tree, value: Any) -> Any:
    if isinstance(value, list):
        return [_exclude_value(tree, item) for item in value]
    document = as_document(value)
    return value if document is None else exclude(tree, document)


def add_fields(tree: Tree, target: Document, root: Document, variables: Variables) -> Document:
    """The target with the tree's expressions, computed of the root, in it."""
    found = dict(target)
    for name, below in tree.items():
        if isinstance(below, dict):
            found[name] = _add_inside(below, found.get(name, MISSING), root, variables)
            continue
        value = below(root, variables)
        if value is MISSING:
            found.pop(name, None)
        else:
            found[name] = value
    return found


def _add_inside(tree: Tree, value: Any, root: Document, variables: Variables) -> Any:
    if isinstance(value, list):
        return [_add_inside(tree, item, root, variables) for item in value]
    document = as_document(value)
    return add_fields(tree, dict(document) if document is not None else {}, root, variables)


def compile_add_fields(spec: Mapping[str, Any]) -> Projection:
    """The function of $addFields."""
    tree: Tree = {}
    _collect(tree, "", spec)
    return lambda document, variables: add_fields(tree, document, document, variables)


def _collect(tree: Tree, prefix: str, spec: Mapping[str, Any]) -> None:
    for name, value in spec.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping) and value and not query.is_operators(value):
            _collect(tree, f"{path}.", value)
        else:
            expression: Expression = compile_expression(value)
            insert(tree, path, expression)


def _with_specials(document: Document, found: Document, steps: list[_Special]) -> Document:
    for step in steps:
        step(document, found)
    return found


def _slice(entry: tuple[str, Any]) -> _Special:
    path, operand = entry
    parts = paths.split(path)

    def cut(array: list[Any]) -> list[Any]:
        if not isinstance(operand, list):
            count = int(operand)
            return array[:count] if count >= 0 else array[count:]
        skip, limit = map(int, operand)
        if limit <= 0:
            raise CommandError(Code.Location28724, "the limit of $slice must be positive")
        start = skip if skip >= 0 else max(len(array) + skip, 0)
        return array[start : start + limit]

    return lambda document, found: _replace_array(found, parts, cut)


def _replace_array(found: Document, parts: paths.Parts, function: Callable[[list[Any]], list[Any]]) -> None:
    inner = found.get(parts[0], MISSING)
    if len(parts) > 1:
        below = as_document(inner)
        if below is not None:
            copied = dict(below)
            _replace_array(copied, parts[1:], function)
            found[parts[0]] = copied
    elif isinstance(inner, list):
        found[parts[0]] = function(inner)


def _element(entry: tuple[str, Any]) -> _Special:
    path, operand = entry
    if "." in path:
        raise CommandError(Code.Location31275, "Cannot use $elemMatch projection on a nested field")
    if not isinstance(operand, Mapping):
        raise CommandError(Code.Location31274, "elemMatch: Invalid argument, object required")
    test = matching.element_test(operand)

    def change(document: Document, found: Document) -> None:
        value = document.get(path)
        first = [item for item in value if test(item)][:1] if isinstance(value, list) else []
        if first:
            found[path] = first
        else:
            found.pop(path, None)

    return change


def _positional(path: str, tree: query.Node) -> _Special:
    parts = paths.split(path)

    def change(document: Document, found: Document) -> None:
        number = matching.position(tree, document)
        if number is None:
            text = "positional operator '.$' couldn't find a matching element in the array"
            raise CommandError(Code.Location51246, text)
        _replace_array(found, parts, lambda array: array[number : number + 1])

    return change
