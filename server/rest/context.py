"""What every handler and service of one server process shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from pymongo.asynchronous.database import AsyncDatabase

from config.settings import Settings
from iceprod.ids import new_id
from server.common.signals import Signals
from server.rest.addresses import Network, read_networks
from server.rest.admission import Admission
from server.rest.authentication import Authenticator

__all__ = ["Context"]


@dataclass(frozen=True)
class Context:
    """Settings, database, token secret and the process's wake-up signals."""

    settings: Settings
    db: AsyncDatabase
    secret: str
    signals: Signals = field(default_factory=Signals)
    server_id: str = field(default_factory=new_id)

    @cached_property
    def trusted_proxies(self) -> tuple[Network, ...]:
        """Whose word counts on where a request comes from."""
        return read_networks(self.settings.server.trusted_proxies)

    @cached_property
    def admission(self) -> Admission:
        """Who gives places to requests."""
        return Admission(self.settings.limits, self.signals.tell, self.server_id)

    @cached_property
    def tokens(self) -> Authenticator:
        """What tells callers by their tokens."""
        return Authenticator(self.settings, self.db, self.secret, self.signals)
