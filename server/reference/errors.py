"""Every error that the REST API answers with."""

from __future__ import annotations

from collections.abc import Iterator

from server.common.errors import ApiError
from server.reference import house
from server.reference.markdown import code, first_line, table

__all__ = ["missing", "text"]

_HEAD = """# Errors

An error is told in JSON, with the same text under the key of each API family:

```json
{"code": 400, "error": "missing key: group", "reason": "missing key: group", "message": "missing key: group"}
```

A 400 names the field and what is wrong with it. 429 and 503 come with `Retry-After` or pass by themselves:
`iceprod` and the Python client try again, with growing pauses, as long as they were told to be patient. 500
is a fault of the server: its log has the details, never the answer.
"""


def text() -> str:
    """The page."""
    rows = [(str(one.code), code(one.__name__), first_line(one.__doc__)) for one in classes()]
    rows += [("404", "", "There is no such route."), ("405", "", "The route does not know this method.")]
    return "\n\n".join([_HEAD, table(("status", "class", "when"), sorted(rows))]) + "\n"


def missing() -> list[str]:
    """Errors without a docstring."""
    return [one.__name__ for one in classes() if not one.__doc__]


def classes() -> list[type[ApiError]]:
    """All errors of all families, by status."""
    house.routes()  # there is an application, so all errors are defined
    return sorted(_below(ApiError), key=lambda one: (one.code, one.__name__))


def _below(error: type[ApiError]) -> Iterator[type[ApiError]]:
    for one in error.__subclasses__():
        yield one
        yield from _below(one)
