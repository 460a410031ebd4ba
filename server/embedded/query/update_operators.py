"""The update operators: each compiles its operand to a change of a document at a path."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from typing import Any

from bson import Int64, Timestamp

from server.embedded.documents import keys, paths
from server.embedded.documents.errors import Code, CommandError
from server.embedded.documents.sorting import sort_key
from server.embedded.documents.values import INT64, MISSING, Document, as_document, is_number, now, type_alias
from server.embedded.expressions.numbers import add, multiply
from server.embedded.query import matching, query

Change = Callable[[Document, paths.Parts], None]
NewValue = Callable[[Any], Any]  # from the old value or MISSING; MISSING: leave the document as it is

_MOST_ELEMENTS = 1_500_000  # of an array that is filled up with nulls


class Place:
    """Where a path ends: an object or array, and a name or number in it."""

    __slots__ = ("container", "key")

    def __init__(self, container: Any, key: Any) -> None:
        self.container, self.key = container, key

    def get(self) -> Any:
        if isinstance(self.container, list):
            return self.container[self.key] if self.key < len(self.container) else MISSING
        return self.container.get(self.key, MISSING)

    def set(self, value: Any) -> None:
        if isinstance(self.container, list):
            _fill(self.container, self.key)
        self.container[self.key] = value

    def unset(self) -> None:
        if isinstance(self.container, list):
            if self.key < len(self.container):
                self.container[self.key] = None
        else:
            self.container.pop(self.key, None)


def _fill(array: list[Any], number: int) -> None:
    """Make the array long enough to have the element."""
    if number > _MOST_ELEMENTS:
        raise CommandError(Code.CannotCreateIndex, f"cannot fill an array up to element {number}")
    array.extend([None] * (number + 1 - len(array)))


def find_place(document: Document, parts: paths.Parts) -> Place | None:
    """Where the path ends, if what leads there exists."""
    node: Any = document
    for part in parts[:-1]:
        node = paths.lookup_plain(node, (part,))
    if isinstance(node, list):
        return Place(node, int(parts[-1])) if paths.is_index(parts[-1]) else None
    return Place(node, parts[-1]) if isinstance(node, dict) else None


def make_place(document: Document, parts: paths.Parts) -> Place:
    """Where the path ends; missing objects on the way are made.

    Raises CommandError(PathNotViable) when something else is in the way.
    """
    place = _step(document, parts[0], parts)
    for part in parts[1:]:
        node = place.get()
        if node is MISSING:
            node = {}
            place.set(node)
        elif not isinstance(node, dict | list):
            node = as_document(node)
            if node is None:
                raise _blocked(part, place, parts)
            place.set(node)
        place = _step(node, part, parts)
    return place


def check_viable(document: Document, parts: paths.Parts) -> None:
    """Raise CommandError(PathNotViable) when something is in the path's way."""
    node: Any = document
    for at, part in enumerate(parts):
        if node is MISSING:
            return
        if isinstance(node, list):
            viable = paths.is_index(part)
        else:
            viable = as_document(node) is not None
        if not viable:
            where = ".".join(parts[:at])
            text = f"Cannot use the part ({part}) of ({'.'.join(parts)}) to traverse the element at '{where}'"
            raise CommandError(Code.PathNotViable, text)
        node = paths.lookup_plain(node, (part,))


def _step(node: Any, part: str, parts: paths.Parts) -> Place:
    if isinstance(node, list):
        if not paths.is_index(part):
            text = f"Cannot create field '{part}' in element {{{'.'.join(parts)}: an array}}"
            raise CommandError(Code.PathNotViable, text)
        return Place(node, int(part))
    return Place(node, part)


def _blocked(part: str, place: Place, parts: paths.Parts) -> CommandError:
    text = (
        f"Cannot create field '{part}' in element {{{place.key}: a value of type {type_alias(place.get())}}}"
    )
    return CommandError(Code.PathNotViable, f"{text}, for the path '{'.'.join(parts)}'")


def _changing(new_value: NewValue) -> Change:
    """The change that computes a value from the old one, making the path."""

    def change(document: Document, parts: paths.Parts) -> None:
        if len(parts) == 1:
            value = new_value(document.get(parts[0], MISSING))
            if value is not MISSING:
                document[parts[0]] = value
            return
        existing = find_place(document, parts)
        value = new_value(existing.get() if existing else MISSING)
        if value is not MISSING:
            (existing or make_place(document, parts)).set(value)

    return change


def _changing_existing(new_value: NewValue) -> Change:
    """The same, where nothing happens if there is no such field (but it must be one that could be)."""

    def change(document: Document, parts: paths.Parts) -> None:
        place = find_place(document, parts)
        if place is None:
            check_viable(document, parts)
            return
        if place.get() is MISSING:
            return
        value = new_value(place.get())
        if value is not MISSING:
            place.set(value)

    return change


def _set(path: str, operand: Any) -> Change:
    mutable = isinstance(operand, dict | list)
    return _changing(lambda old: copy.deepcopy(operand) if mutable else operand)


def _unset(path: str, operand: Any) -> Change:
    def change(document: Document, parts: paths.Parts) -> None:
        place = find_place(document, parts)
        if place is not None:
            place.unset()

    return change


def _numeric(
    name: str, path: str, operand: Any, combine: Callable[[Any], Any], start: Callable[[Any], Any]
) -> Change:
    if not is_number(operand):
        verb = "increment" if name == "$inc" else "multiply"
        raise CommandError(
            Code.TypeMismatch, f"Cannot {verb} with non-numeric argument: {{{path}: {operand}}}"
        )

    def new_value(old: Any) -> Any:
        if old is MISSING:
            return start(operand)
        if not is_number(old):
            text = (
                f"Cannot apply {name} to a value of non-numeric type: '{path}' is of type {type_alias(old)}"
            )
            raise CommandError(Code.TypeMismatch, text)
        result = combine(old)
        if isinstance(old, int) and isinstance(operand, int) and isinstance(result, float):
            raise CommandError(
                Code.BadValue,
                f"Failed to apply {name} to the value {old} of '{path}': 64 bits are not enough",
            )
        return result

    return _changing(new_value)


def _inc(path: str, operand: Any) -> Change:
    return _numeric("$inc", path, operand, lambda old: add(old, operand), lambda operand: operand)


def _mul(path: str, operand: Any) -> Change:
    return _numeric("$mul", path, operand, lambda old: multiply(old, operand), _zero_like)


def _zero_like(number: Any) -> Any:
    """Zero of the number's type."""
    return 0.0 if isinstance(number, float) else multiply(number, 0)


def _max(path: str, operand: Any) -> Change:
    key = keys.encode(operand)
    return _changing(lambda old: operand if old is MISSING or keys.encode(old) < key else MISSING)


def _min(path: str, operand: Any) -> Change:
    key = keys.encode(operand)
    return _changing(lambda old: operand if old is MISSING or keys.encode(old) > key else MISSING)


def _current_date(path: str, operand: Any) -> Change:
    date = "date" if isinstance(operand, bool) else None
    kind = operand.get("$type") if isinstance(operand, Mapping) else date
    if kind not in ("date", "timestamp"):
        raise CommandError(Code.BadValue, "The '$type' string field is required to be 'date' or 'timestamp'")
    return _changing(lambda old: Timestamp(int(time.time()), 1) if kind == "timestamp" else now())


def _rename(path: str, operand: Any) -> Change:
    if not isinstance(operand, str):
        raise CommandError(Code.BadValue, f"The 'to' field for $rename must be a string: {path}")
    target = paths.split(operand)
    if any(part.startswith("$") for part in (*target, *paths.split(path))):
        raise CommandError(Code.BadValue, "$rename's fields may not be dynamic")

    def change(document: Document, parts: paths.Parts) -> None:
        check_viable(document, parts)
        if any(isinstance(paths.lookup_plain(document, parts[:at]), list) for at in range(1, len(parts))):
            raise CommandError(Code.BadValue, "The source field of $rename cannot be an array element")
        place = find_place(document, parts)
        value = place.get() if place is not None else MISSING
        if place is None or value is MISSING:
            return
        place.unset()
        goal = make_place(document, target)
        if isinstance(goal.container, list):
            raise CommandError(Code.BadValue, "The destination field of $rename cannot be an array element")
        goal.set(value)

    return change


def _array(name: str, path: str, old: Any) -> list[Any]:
    if old is MISSING:
        return []
    if not isinstance(old, list):
        text = f"The field '{path}' must be an array but is of type {type_alias(old)} ({name})"
        raise CommandError(
            Code.BadValue if name in ("$push", "$pull", "$pullAll") else Code.TypeMismatch, text
        )
    return list(old)


def _push(path: str, operand: Any) -> Change:
    if not (isinstance(operand, Mapping) and "$each" in operand):
        return _changing(lambda old: [*_array("$push", path, old), copy.deepcopy(operand)])
    added = _each("$push", operand)
    position, cut, order = _push_modifiers(operand)

    def new_value(old: Any) -> Any:
        array = _array("$push", path, old)
        at = len(array) if position is None else position
        array[at:at] = copy.deepcopy(added)
        if order is not None:
            array = order(array)
        if cut is not None:
            array = array[:cut] if cut >= 0 else array[cut:]
        return array

    return _changing(new_value)


def _each(name: str, operand: Mapping[str, Any]) -> list[Any]:
    if not isinstance(operand["$each"], list):
        raise CommandError(Code.BadValue, f"The argument to $each in {name} must be an array")
    return operand["$each"]


def _push_modifiers(
    operand: Mapping[str, Any],
) -> tuple[int | None, int | None, Callable[[list[Any]], list[Any]] | None]:
    for name in operand:
        if name not in ("$each", "$position", "$slice", "$sort"):
            raise CommandError(Code.BadValue, f"Unrecognized clause in $push: {name}")
    numbers = []
    for name in ("$position", "$slice"):
        value = operand.get(name)
        if value is not None and (not is_number(value) or int(value) != value):
            raise CommandError(Code.BadValue, f"The value for {name} must be an integer value")
        numbers.append(None if value is None else int(value))
    order = _element_order(operand["$sort"]) if "$sort" in operand else None
    return numbers[0], numbers[1], order


def _element_order(spec: Any) -> Callable[[list[Any]], list[Any]]:
    if isinstance(spec, Mapping):
        key = sort_key([(path, direction < 0) for path, direction in spec.items()])
        return lambda array: sorted(array, key=lambda item: key(as_document(item) or {}))
    if not is_number(spec) or spec not in (1, -1):
        raise CommandError(Code.BadValue, "The $sort element value must be either 1 or -1")
    return lambda array: sorted(array, key=keys.encode, reverse=spec == -1)


def _add_to_set(path: str, operand: Any) -> Change:
    each = isinstance(operand, Mapping) and "$each" in operand
    added = _each("$addToSet", operand) if each else [operand]

    def new_value(old: Any) -> Any:
        array = _array("$addToSet", path, old)
        present = set(map(keys.encode, array))
        before = len(array)
        for item in added:
            key = keys.encode(item)
            if key not in present:
                present.add(key)
                array.append(copy.deepcopy(item))
        return array if old is MISSING or len(array) > before else MISSING

    return _changing(new_value)


def _pop(path: str, operand: Any) -> Change:
    if not is_number(operand) or operand not in (1, -1):
        raise CommandError(Code.FailedToParse, f"$pop expects 1 or -1, found: {operand}")

    def new_value(old: Any) -> Any:
        array = _array("$pop", path, old)
        return array[:-1] if operand == 1 else array[1:]

    return _changing_existing(new_value)


def _pull(path: str, operand: Any) -> Change:
    if isinstance(operand, Mapping) and not query.is_operators(operand):
        test = matching.object_test(operand)
    else:
        test = matching.value_test(operand)
    return _changing_existing(lambda old: [item for item in _array("$pull", path, old) if not test(item)])


def _pull_all(path: str, operand: Any) -> Change:
    if not isinstance(operand, list):
        raise CommandError(Code.BadValue, "$pullAll requires an array argument")
    gone = frozenset(map(keys.encode, operand))
    return _changing_existing(
        lambda old: [item for item in _array("$pullAll", path, old) if keys.encode(item) not in gone]
    )


_BITS: Mapping[str, Callable[[int, int], int]] = {
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
}


def _bit(path: str, operand: Any) -> Change:
    if not isinstance(operand, Mapping) or not operand or not operand.keys() <= _BITS.keys():
        raise CommandError(Code.BadValue, "The $bit modifier takes an object of and, or, xor")
    if not all(type(mask) in (int, Int64) for mask in operand.values()):
        raise CommandError(Code.BadValue, "The $bit modifier field must be an Integer(32/64 bit)")

    def new_value(old: Any) -> Any:
        value = 0 if old is MISSING else old
        if type(value) not in (int, Int64):
            raise CommandError(
                Code.BadValue, f"Cannot apply $bit to a value of non-integral type, at '{path}'"
            )
        result = value
        for name, mask in operand.items():
            result = _BITS[name](result, mask)
        return Int64(result) if isinstance(value, Int64) and result in INT64 else result

    return _changing(new_value)


OPERATORS: Mapping[str, Callable[[str, Any], Change]] = {
    "$set": _set,
    "$setOnInsert": _set,
    "$unset": _unset,
    "$inc": _inc,
    "$mul": _mul,
    "$max": _max,
    "$min": _min,
    "$currentDate": _current_date,
    "$rename": _rename,
    "$push": _push,
    "$addToSet": _add_to_set,
    "$pop": _pop,
    "$pull": _pull,
    "$pullAll": _pull_all,
    "$bit": _bit,
}
