"""The types of frame objects, whatever compiler spelt their names.

A frame names the C++ type of every object as the compiler that built IceTray demangles it, so that one class
has many spellings: ``I3PODHolder<__cxx11::string >`` and ``I3PODHolder<string>``, with and without
``std::``, allocators and spaces. `class_of` takes such a name apart and gives the name under which IceTray
exports the class, which also stands in front of the object itself and has never changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

__all__ = ["class_of", "normalised"]

#: IceTray's own names of instantiated templates (icecube/icetray-public: I3PODHolder/*.h, I3Map.h,
#: physics/I3RecoPulse.h, I3TimeWindow.h), here with the members spelt out.
_TYPEDEFS = {
    "I3String": "I3PODHolder<string>",
    "I3Double": "I3PODHolder<double>",
    "I3Bool": "I3PODHolder<bool>",
    "I3Int": "I3PODHolder<int>",
    "I3RecoPulseSeriesMap": "I3Map<OMKey,vector<I3RecoPulse>>",
    "I3TimeWindowSeriesMap": "I3Map<OMKey,I3TimeWindowSeries>",
}
_EXPORTED = {template: name for name, template in _TYPEDEFS.items()}
_MEMBERS = {"I3RecoPulseSeries": "vector<I3RecoPulse>"}

_TOKEN = re.compile(r"[A-Za-z_]\w*|::|[<>,*&]|\d+")
_DEFAULTS = {"allocator", "less", "char_traits", "equal_to", "hash", "default_delete"}
"""Templates that stand only as arguments which have a default."""
_KEYWORDS = {"class", "struct", "enum", "const", "volatile"}
_LONGEST = 1000  # characters of a type name that are looked at
_DEEPEST = 20  # templates in templates


@lru_cache(maxsize=4096)
def class_of(type_name: str) -> str:
    """The exported name of a type: ``I3String`` for ``I3PODHolder<std::__cxx11::basic_string<char> >``.

    A type that is none of IceTray's typedefs keeps its `normalised` name.
    """
    name = normalised(type_name)
    return _EXPORTED.get(name, name)


def normalised(type_name: str) -> str:
    """A type's name without spaces, standard namespaces and default arguments, typedefs spelt out."""
    tokens = list(_tokens(type_name[:_LONGEST]))
    try:
        name, rest = _type(tokens, 0, 0)
    except (IndexError, RecursionError):
        return type_name
    return name if rest == len(tokens) else type_name


def _tokens(text: str) -> Iterator[str]:
    for token in _TOKEN.findall(text):
        if token not in _KEYWORDS:
            yield token


def _type(tokens: list[str], at: int, depth: int) -> tuple[str, int]:
    """The type that starts at a token, and where it ends."""
    if depth > _DEEPEST:
        raise RecursionError
    words: list[str] = []
    while at < len(tokens) and tokens[at] not in ("<", ">", ","):
        if at + 1 < len(tokens) and tokens[at + 1] == "::":
            if not _is_standard(tokens[at]):
                words.append(tokens[at] + "::")
            at += 2
        else:
            words += [] if tokens[at] == "::" else [tokens[at]]
            at += 1
    name = _joined(words)
    if at < len(tokens) and tokens[at] == "<":
        arguments, at = _arguments(tokens, at + 1, depth + 1)
        name = _template(name, arguments)
        while at < len(tokens) and tokens[at] in ("*", "&"):
            name, at = name + tokens[at], at + 1
    return _TYPEDEFS.get(name, _MEMBERS.get(name, name)), at


def _arguments(tokens: list[str], at: int, depth: int) -> tuple[list[str], int]:
    """The arguments of a template, without those that say what is the default anyway."""
    found: list[str] = []
    while tokens[at] != ">":
        argument, at = _type(tokens, at, depth)
        found.append(argument)
        if tokens[at] == ",":
            at += 1
    return [name for name in found if name.partition("<")[0] not in _DEFAULTS], at + 1


def _template(name: str, arguments: list[str]) -> str:
    if name == "basic_string" and arguments == ["char"]:
        return "string"
    return f"{name}<{','.join(arguments)}>"


def _is_standard(namespace: str) -> bool:
    """The standard library's namespace, or one of its inline ones such as ``__cxx11`` and ``__1``."""
    return namespace == "std" or namespace.startswith("__")


def _joined(words: list[str]) -> str:
    """Words such as ``unsigned long int``, which compilers order and shorten in their own ways."""
    if len(words) > 1 and "int" in words and ("long" in words or "short" in words or "unsigned" in words):
        words = [word for word in words if word != "int"] or words
    numbers = [word for word in words if word in ("unsigned", "signed", "long", "short")]
    if numbers:
        rest = [word for word in words if word not in numbers]
        words = [*sorted(set(numbers), reverse=True), *rest]
    out = ""
    for word in words:
        out += (" " if out and out[-1].isalnum() and word[0].isalnum() else "") + word
    return out
