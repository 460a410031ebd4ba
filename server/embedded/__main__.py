"""python -m server.embedded serve --data DIR: the store's own command line."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from server.embedded import serving
from server.embedded.errors import CommandError, DataDirectoryError


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status."""
    parsed = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        return int(parsed.run(parsed) or 0)
    except (DataDirectoryError, CommandError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m server.embedded", description="The embedded document store.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve a data directory until SIGTERM")
    serve.add_argument("--data", type=Path, required=True, help="the data directory, made if missing")
    serve.add_argument("--socket", type=Path, help="the unix socket (DATA/store.sock)")
    serve.add_argument("--port", type=int, help="a TCP port, beside the socket")
    serve.add_argument("--host", default="127.0.0.1", help="the TCP address (127.0.0.1)")
    serve.add_argument("--no-auth", action="store_true", help="no login for TCP; only on a loopback address")
    serve.set_defaults(run=_serve)
    return parser


def _serve(parsed: argparse.Namespace) -> None:
    serving.run(serving.Options(parsed.data, parsed.socket, parsed.port, parsed.host, parsed.no_auth))


if __name__ == "__main__":
    sys.exit(main())
