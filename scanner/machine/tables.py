"""Tables that take longer to compute than to read: computed once, then kept as machine code is."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np

from scanner.machine.keeping import Label, find, keep, pack

__all__ = ["kept", "place"]

place: list[Path] = []
"""Where new ones go instead of the user's folder."""


def kept(name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
    """The array that `make` returns, or returned when it was asked last."""
    label = Label(name)
    content = find(label, *place)
    if content is not None:
        with contextlib.suppress(ValueError, EOFError):  # of a numpy that writes otherwise
            return np.asarray(np.load(io.BytesIO(content), allow_pickle=False))
    table = np.ascontiguousarray(make())
    packed = io.BytesIO()
    np.save(packed, table, allow_pickle=False)
    keep(pack(label, packed.getvalue()), label.file, *place)
    return table
