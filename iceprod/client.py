"""What people import: `connect` gives datasets and scans as objects, `Client` sends single requests. ::

    from iceprod.client import connect

    with connect() as ice:
        scan = ice.scan("event.json")
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from config.environment import check_alone
from iceprod.transport import Client, ClientError, Refused, Unreachable

if TYPE_CHECKING:
    from iceprod.session import Session
    from iceprod.session_async import AsyncSession

__all__ = ["Client", "ClientError", "Refused", "Unreachable", "connect", "connect_async"]

check_alone()


def connect(server: str | None = None, token: str | None = None, *, data: str | None = None) -> Session:
    """A session with the server at a URL, of the installation in `data`, or of what runs on this machine.

    Without arguments it uses ``ICEPROD_SERVER`` and ``ICEPROD_TOKEN``, or finds the running ``iceprod up``.
    Raises ClientError when there is no telling which server is meant.
    """
    from iceprod.finding import find_client
    from iceprod.session import Session

    server = server or (None if data else os.environ.get("ICEPROD_SERVER"))
    return Session(find_client(server, token or os.environ.get("ICEPROD_TOKEN"), data))


def connect_async(server: str | None = None, token: str | None = None, *,
                  data: str | None = None) -> AsyncSession:
    """The same for asyncio."""
    from iceprod.session_async import AsyncSession

    return AsyncSession(connect(server, token, data=data))
