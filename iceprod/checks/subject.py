"""What is examined."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from config.settings import Settings
from iceprod.checks.findings import Finding
from iceprod.transport import Client

__all__ = ["Check", "Subject"]


@dataclass(frozen=True)
class Subject:
    """An installation: what is on this machine of it, and its server as clients reach it.

    `settings` have the directory of the installation on this machine; it need not exist (`is_here`). `client`
    is None where no server is known. `sites` are site files of grids.
    """

    settings: Settings
    client: Client | None = None
    sites: tuple[Path, ...] = ()

    @property
    def data(self) -> Path:
        return Path(self.settings.data)

    @property
    def is_here(self) -> bool:
        """Whether this machine has the installation's directory."""
        try:
            return (self.data / self.settings.tokens.secret_file).exists()
        except PermissionError:  # it is another account's, as the check of the directory tells
            return True


Check = Callable[[Subject], Iterable[Finding]]
"""Looks at one thing; what it cannot look at it says, and raises nothing."""
