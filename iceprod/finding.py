"""Finding the server that somebody means: named, or running on this machine."""

from __future__ import annotations

from config.settings import Settings
from iceprod.installation import Installation, running_installations
from iceprod.transport import Client, ClientError

__all__ = ["OWN_ROLES", "OWN_USER", "NoServer", "find_client", "find_installation"]

OWN_USER, OWN_ROLES = "local", ("admin", "user")


class NoServer(ClientError):
    """There is no telling which server is meant; the text says what to do.

    Attributes
    ----------
    nothing_runs : bool
        Whether that is because nothing runs on this machine.
    """

    def __init__(self, text: str, *, nothing_runs: bool = False) -> None:
        super().__init__(text)
        self.nothing_runs = nothing_runs


def find_client(server: str | None = None, token: str | None = None, data: str | None = None, *,
                make: type[Client] = Client) -> Client:
    """A client of the server at a URL, of the installation in the directory `data`, or of what runs here.

    Without a token, one is made for an installation of one's own. Raises NoServer.
    """
    if server:
        return make(server, token or _own_token(server))
    here = find_installation(data)
    running = here.running()
    if running is None:
        raise NoServer(f"nothing runs in {here.data}; start it with `iceprod up --data {here.data}`, "
                       "or name a server with --server URL", nothing_runs=True)
    return make(running.url, token or _token(here))


def find_installation(data: str | None) -> Installation:
    """The installation in a directory, or what runs on this machine. Raises NoServer for several."""
    default = Installation(data or Settings().data)
    if data or default.running():
        return default
    found = running_installations()
    if len(found) > 1:
        places = ", ".join(str(one.data) for one in found)
        raise NoServer(f"several installations run: {places}; choose one with --data DIR")
    return found[0] if found else default


def _own_token(server: str) -> str:
    """A token for a server of ours; none for any other."""
    for here in running_installations():
        running = here.running()
        if running and running.url.rstrip("/") == server.rstrip("/"):
            return _token(here)
    return ""


def _token(here: Installation) -> str:
    try:
        return here.token(OWN_USER, *OWN_ROLES)
    except OSError as error:
        raise NoServer(f"cannot read the secret of {here.data}: {error.strerror}; give a --token") from None
