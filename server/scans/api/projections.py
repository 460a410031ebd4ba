"""Which fields of a manifest a caller wants."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from server.common.errors import BadRequest
from server.scans.manifests.manifests import FIELDS, HEAVY_FIELDS

__all__ = ["light_names", "names_of", "project"]


def names_of(argument: Any) -> list[str]:
    """Field names of a `manifest_projection` or the parts of a `projection`, in the manifest's order."""
    if not argument or argument == "*" or "*" in argument:
        return list(FIELDS)
    wanted = set(argument)
    return [name for name in FIELDS if name in wanted]


def light_names(argument: Any) -> list[str]:
    """The same for lists of manifests, from which the heavy fields are kept out. Raises BadRequest."""
    if not argument or argument == "*" or "*" in argument:
        return [name for name in FIELDS if name not in HEAVY_FIELDS]
    for name in HEAVY_FIELDS:
        if name in argument:
            raise BadRequest(f"'manifest_projection': {name!r} is not available here; "
                             f"ask for it with GET /scan/{{scan_id}}/manifest")
    return names_of(argument)


def project(manifest: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """The named fields alone, in the order of the names."""
    return {name: manifest[name] for name in names if name in manifest}
