"""The commands that the store answers; importing this package registers them."""

from __future__ import annotations

from server.embedded.commands import (
    administration,
    aggregation,
    authentication,
    diagnostics,
    explaining,
    reading,
    writing,
)  # fmt: skip
from server.embedded.commands.dispatch import deadline_of, dispatch
from server.embedded.commands.registry import COMMANDS, Answer, Peer

__all__ = [
    "COMMANDS", "Answer", "Peer", "administration", "aggregation", "authentication", "deadline_of",
    "diagnostics", "dispatch", "explaining", "reading", "writing",
]  # fmt: skip
