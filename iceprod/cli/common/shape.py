"""What the shapes of ``--json`` are made of."""

from __future__ import annotations

import msgspec

__all__ = ["Shape", "Struct"]


class Struct(msgspec.Struct, forbid_unknown_fields=True):
    """An object that has these keys and no others."""


Shape = type[Struct] | str
