"""Image tags of the outside scanner: which a request may name, and which are too old."""

from __future__ import annotations

import re

from config.settings import Scans
from server.common.errors import BadRequest

__all__ = ["resolve_tag"]

_VERSION = re.compile(r"v?(\d{1,6})(?:\.(\d{1,6}))?(?:\.(\d{1,6}))?")


def resolve_tag(tag: str, settings: Scans) -> str:
    """The tag that a name such as ``latest`` stands for. Raises BadRequest when unknown or too old."""
    resolved = settings.image_tags.get(tag.strip())
    if resolved is None:
        raise BadRequest("argument docker_tag: image not found")
    version, minimum = _version(resolved), _version(settings.minimum_image_tag)
    if version and minimum and version < minimum:
        raise BadRequest("argument docker_tag: Image tag is older than the minimum supported tag "
                         f"'{settings.minimum_image_tag}'")
    return resolved


def _version(tag: str) -> tuple[int, ...] | None:
    """Numbers of a tag that is a version; other tags (of branches, commits) have no age."""
    match = _VERSION.fullmatch(tag)
    return tuple(int(part or 0) for part in match.groups()) if match else None
