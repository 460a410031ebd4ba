"""python -m server.embedded serve --data DIR: the store's own command line."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path

from iceprod.walls import namespaces
from server.embedded import serving
from server.embedded.documents.errors import CommandError, DataDirectoryError
from server.embedded.dumping import Copied
from server.embedded.storage.storage import FILE


def main(arguments: list[str] | None = None) -> int:
    """Run a command, telling errors; the exit status."""
    try:
        return run(arguments)
    except (DataDirectoryError, CommandError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def run(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status. Raises DataDirectoryError and CommandError."""
    parsed = make_parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    return int(parsed.run(parsed) or 0)


def make_parser() -> argparse.ArgumentParser:
    """What reads the command line."""
    parser = argparse.ArgumentParser(
        prog="iceprod store", description="The embedded document store."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve a data directory until SIGTERM")
    serve.add_argument("--data", type=Path, required=True, help="the data directory, made if missing")
    serve.add_argument("--socket", type=Path, help="the unix socket (DATA/store.sock)")
    serve.add_argument("--port", type=int, help="a TCP port, beside the socket")
    serve.add_argument("--host", default="127.0.0.1", help="the TCP address (127.0.0.1)")
    serve.add_argument("--no-auth", action="store_true", help="no login for TCP; only on a loopback address")
    serve.add_argument("--max-pages", type=int, help="limit the file to so many pages of 4 KiB")
    serve.set_defaults(run=_serve)
    check = commands.add_parser("check", help="check a store that no server uses")
    check.add_argument("--data", type=_directory, required=True, help="the data directory")
    check.add_argument("--repair", action="store_true", help="mend what is wrong; damaged files are kept")
    _with_json(check)
    check.set_defaults(run=_check)
    size = commands.add_parser("size", help="how large a store is, and what nears its limits")
    size.add_argument("--data", type=_present, required=True, help="the data directory")
    _with_json(size)
    size.set_defaults(run=_size)
    dump = commands.add_parser("dump", help="write all documents to files, as mongodump does")
    dump.add_argument(
        "--data", type=_present, required=True, help="the data directory; a server may run on it"
    )
    dump.add_argument("--out", type=Path, required=True, help="the folder to write to")
    _with_json(dump)
    dump.set_defaults(run=_dump)
    restore = commands.add_parser("restore", help="store what dump or mongodump has written")
    restore.add_argument(
        "--data", type=_directory, required=True, help="the data directory; a server may run on it"
    )
    restore.add_argument("--from", type=Path, required=True, dest="source", help="the folder of the dump")
    restore.add_argument("--drop", action="store_true", help="replace collections that exist")
    _with_json(restore)
    restore.set_defaults(run=_restore)
    bench = commands.add_parser("bench", help="measure claims a second, beside other servers")
    bench.add_argument("--sizes", type=int, nargs="+", help="waiting tasks (0 … 1000000)")
    bench.add_argument("--peers", nargs="+", help="what to measure (embedded nx-27017 mongomock)")
    bench.add_argument("--files", type=float, nargs="+", metavar="GB",
                       help="instead: what files of these sizes cost to start, check, back up and repair")
    bench.add_argument("--json", action="store_true", help="print JSON")
    bench.set_defaults(run=_bench)
    return parser


def _with_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _directory(text: str) -> Path:
    """A store's directory; that inside an installation when this is named."""
    path = Path(text)
    return path / "store" if (path / "store" / FILE).is_file() else path


def _present(text: str) -> Path:
    """The directory of a store that is there: who only looks makes none."""
    path = _directory(text)
    if not (path / FILE).is_file():
        raise argparse.ArgumentTypeError(f"there is no store in {text}")
    return path


def _check(parsed: argparse.Namespace) -> int:
    from server.embedded.sessions.checking import check

    report = check(parsed.data, parsed.repair)
    if parsed.json:
        print(json.dumps({"sound": report.sound, "problems": report.problems, "repairs": report.repairs}))
    else:
        print("\n".join([*report.problems, *report.repairs]) or "sound")
    return 0 if report.sound or report.repairs else 1


def _size(parsed: argparse.Namespace) -> None:
    from server.embedded.access import store_url
    from server.embedded.limits import measure

    with store_url(parsed.data) as url:
        found = measure(url, parsed.data)
    if parsed.json:
        print(json.dumps({"documents": found.documents, "file_bytes": found.file_bytes,
                          "warnings": [*found.warnings()]}))
        return
    for name, number in sorted(found.documents.items()):
        print(f"{name:40} {number:>12,} documents")
    print(f"{'file':40} {found.file_bytes:>12,} bytes")
    for warning in found.warnings():
        print(f"warning: {warning}. See docs/decisions/embedded-store.md")


def _dump(parsed: argparse.Namespace) -> None:
    from server.embedded.access import store_url
    from server.embedded.dumping import dump

    with store_url(parsed.data) as url:
        _tell(dump(url, parsed.out), as_json=parsed.json)


def _restore(parsed: argparse.Namespace) -> None:
    from server.embedded.access import store_url
    from server.embedded.dumping import restore

    with store_url(parsed.data) as url:
        _tell(restore(url, parsed.source, parsed.drop), as_json=parsed.json)


def _tell(copied: list[Copied], *, as_json: bool) -> None:
    counts = {f"{one.database}.{one.collection}": one.documents for one in copied}
    if as_json:
        print(json.dumps({"documents": counts}))
        return
    for name, count in counts.items():
        print(f"{name}: {count} documents")


def _bench(parsed: argparse.Namespace) -> None:
    from server.embedded import bench, bench_files

    if parsed.files:
        bench_files.run(parsed.files)
        return
    result = bench.run(parsed.sizes or bench.SIZES, parsed.peers or bench.PEERS)
    print(json.dumps(result, indent=1) if parsed.json else bench.table(result))


def _serve(parsed: argparse.Namespace) -> None:
    namespaces.limit(0)  # no core dumps, for memory holds what the file does
    os.umask(0o077)
    serving.run(
        serving.Options(
            parsed.data, parsed.socket, parsed.port, parsed.host, parsed.no_auth, parsed.max_pages
        )
    )


if __name__ == "__main__":
    sys.exit(main())
