"""Documents as the database holds them, and as the API shows them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["TOGETHER", "Document", "group_ids", "in_order", "project", "projection"]

Document = dict[str, Any]

TOGETHER = 500  # of a long list that are read together; other requests have their turn between


def projection(keys: set[str] | None, hidden: Iterable[str] = ()) -> dict[str, int]:
    """What to read of a document: the named fields, or all but the hidden ones."""
    if keys is None:
        return {"_id": 0, **dict.fromkeys(hidden, 0)}
    shown = {key: 1 for key in keys if key.isidentifier() and key not in hidden}
    return {**shown, "_id": 0}  # asked for or not, the database's own id is never shown


def project(document: Mapping[str, Any], keys: set[str] | None) -> Document:
    """The named fields of a document, or all of them; never the database's own id."""
    return {name: value for name, value in document.items()
            if name != "_id" and (keys is None or name in keys)}


def in_order(values: Mapping[str, Any], order: Iterable[str]) -> dict[str, Any]:
    """The entries of `values` in the given order; those not in it come last."""
    known = {name: values[name] for name in order if name in values}
    return {**known, **{name: value for name, value in values.items() if name not in known}}


def group_ids(documents: Iterable[Document], field: str, identifier: str) -> dict[str, list[str]]:
    """Ids of documents by the value of a field."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for document in documents:
        groups[document[field]].append(document[identifier])
    return dict(groups)
