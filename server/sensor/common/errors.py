"""Errors of the sensor API, in the words that its clients know: `detail`, or texts by field.

    ApiError
    ├── NotAuthenticated  401  no token, or a wrong one
    ├── NotAllowed        405  the path knows other methods
    ├── FieldErrors       400  texts by the field that is wrong
    └── Protected         400  there are acquisitions that must go first
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from server.common.errors import ApiError

__all__ = ["WHOLE", "FieldErrors", "NotAllowed", "NotAuthenticated", "Protected"]

WHOLE = "non_field_errors"
"""The key of what is wrong with a body as a whole."""


class NotAuthenticated(ApiError):
    """A request to the sensor API carries no token, or a wrong one."""

    code = 401


class NotAllowed(ApiError):
    """The path of the sensor API knows other methods; `methods` are those."""

    code = 405

    def __init__(self, method: str, methods: Iterable[str]) -> None:
        super().__init__(f'Method "{method}" not allowed.')
        self.methods = tuple(methods)


class FieldErrors(ApiError):
    """Fields of a body for the sensor API are wrong; `texts` are lists of texts by field."""

    code = 400

    def __init__(self, texts: Mapping[str, list[str]]) -> None:
        super().__init__("; ".join(f"{name}: {' '.join(lines)}" for name, lines in texts.items()))
        self.texts = dict(texts)

    @classmethod
    def of(cls, field: str, text: str) -> FieldErrors:
        """One text for one field."""
        return cls({field: [text]})


class Protected(ApiError):
    """There are acquisitions that must go first; `objects` are these: entry and task id."""

    code = 400

    def __init__(self, name: str, objects: Iterable[tuple[str, int]]) -> None:
        super().__init__(f"Cannot delete schedule entry {name!r} because acquisitions of it exist. "
                         "Delete the protected acquisitions first.")
        self.objects = list(objects)
