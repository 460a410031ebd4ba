"""``iceprod scan``: find where a neutrino came from."""

from __future__ import annotations

import difflib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from iceprod.cli.common import completing
from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.errors import USAGE, CommandError
from iceprod.cli.common.files import check_folder, read_json
from iceprod.cli.common.screen import console as console_of
from iceprod.cli.sky.follow import show_progress
from iceprod.cli.sky.outcome import Outcome
from iceprod.cli.sky.timing import timing_lines, timing_of
from iceprod.client import Client, Refused
from iceprod.following import follow_scan
from iceprod.submission import NSIDES, RECO, scan_request, truth_of

__all__ = ["finish", "scan"]

_EVENT_FIELD, _EVENT_NAME = "'event_i3live_json': ", "event_i3live_json"  # what the server calls the file


@click.command()
@click.argument("event", metavar="EVENT.json", type=click.Path(path_type=Path))
@click.option("--reco-algo", default=RECO, show_default=True, metavar="NAME",
              shell_complete=completing.recos, help="Reconstruction; `iceprod recos` lists them.")
@click.option("--nsides", metavar="N:E,…",
              help="Exactly these levels: HEALPix nside and how many pixels of the level before are refined. "
                   f"[default: {NSIDES}, then finer and wider as the regions need]")
@click.option("--real/--simulated", "is_real", default=None, help="Default: simulated if it has a truth.")
@click.option("--max-pixel-seconds", type=click.IntRange(1), default=3600, help="Longest time for one pixel.")
@click.option("--cluster", "clusters", multiple=True, metavar="SITE:N", default=["local:1"],
              shell_complete=completing.clusters, show_default=True,
              help="Ask a site for N workers; may be repeated.")
@click.option("--threshold", type=click.FloatRange(0, 1), default=1.0, show_default=True,
              help="Share of a level's pixels after which the next level may begin.")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Where files go.")
@click.option("--timing", is_flag=True, help="Tell where the time went, too.")
@click.option("--no-address", is_flag=True, hidden=True, help="Name no page of a server that will be gone.")
@server_options
def scan(event: Path, reco_algo: str, nsides: str | None, is_real: bool | None, max_pixel_seconds: int,
         clusters: tuple[str, ...], threshold: float, as_json: bool, out: Path | None, timing: bool,
         no_address: bool, server: str | None, token: str | None, data: str | None) -> int:
    """Scan the sky for the direction that EVENT.json came from.

    Shows the progress and ends with the best fit, the areas of the 50 % and 90 % regions, and the paths of
    the sky maps. The scan runs on the server's pilots: Ctrl-C stops watching it only.
    """
    document = read_json(event, gaps=True)
    check_folder(out or Path())
    request = _request(document, reco_algo, nsides, is_real, max_pixel_seconds)
    request |= {"request_clusters": _clusters(clusters), "predictive_scanning_threshold": threshold}
    with connect(server, token, data) as client:
        _check_reco(client, reco_algo)
        scan_id = _start(client, event, request)
        return finish(client, scan_id, out, as_json, truth_of(document), with_address=not no_address,
                      timing=timing)


def finish(client: Client, scan_id: str, out: Path | None, as_json: bool,
           truth: tuple[float, float] | None = None, *, with_address: bool = True,
           timing: bool = False) -> int:
    """Follow a scan to its end and show what came out; the exit status."""
    console = console_of(stderr=as_json)
    address = f"{client.url}/web/scans/{scan_id}" if with_address else ""
    see = f", see {address}" if address else ""
    console.print(f"scan {scan_id}{see}", highlight=False, markup=False, soft_wrap=True)
    try:
        progress = show_progress(console, _with_notes(follow_scan(client, scan_id)))
    except KeyboardInterrupt:
        console.print(f"\nNot watching any more; the scan goes on. Watch it with\n  iceprod watch {scan_id}\n"
                      f"and end it with\n  iceprod abort {scan_id}", highlight=False, markup=False)
        raise
    if not progress["is_final"]:
        raise CommandError(f"scan {scan_id} has no result: {progress['state_reason'] or progress['state']}")
    outcome = Outcome(scan_id, client.get(f"/scan/{scan_id}/manifest", patience=30), progress, truth)
    if not as_json:
        outcome.show(console, address)  # before the files, which take the server a moment
    outcome = outcome.fetch(client, out or Path(outcome.name))
    account = timing_of(client, scan_id) if timing else None
    if as_json:
        request = client.get(f"/scan-request/{scan_id}", patience=30)
        document = {"address": address, **outcome.document(request["reco_algo"])}
        print(json.dumps(document | ({"timing": account} if timing else {})))
        return 0
    outcome.show_files(console)
    for line in timing_lines(account) if timing else []:
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    return 0


def _check_reco(client: Client, name: str) -> None:
    """Raise CommandError for a name that none of our pilots knows, though the server takes it for others."""
    known = client.get("/recos", patience=10)
    names = [*known, *(alias for reco in known.values() for alias in reco["aliases"])]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
        raise CommandError(f"--reco-algo: there is no reconstruction {name!r}; {hint}", USAGE)


def _with_notes(news: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The same; what a scan leaves out of the event is told once it is known."""
    told: list[str] = []
    for progress in news:
        notes = (progress["event"] or {}).get("notes") or []
        for note in notes[len(told):]:
            print(f"event: {note}", file=sys.stderr)
        told = notes
        yield progress


def _start(client: Client, event: Path, request: dict[str, Any]) -> str:
    try:
        return str(client.post("/scan", request, timeout=120, patience=10)["scan_id"])
    except Refused as error:
        about_event = error.reason.removeprefix(_EVENT_FIELD)
        if error.status == 400 and about_event != error.reason:
            raise CommandError(f"{event}{about_event.removeprefix(_EVENT_NAME)}", USAGE) from None
        raise


def _clusters(words: tuple[str, ...]) -> list[list[str | int]]:
    pairs: list[list[str | int]] = []
    for word in words:
        name, _, number = word.rpartition(":")
        if not (name and number.isdecimal() and int(number)):
            raise CommandError(f"--cluster: {word!r} is not SITE:N with N workers, as in local:1", USAGE)
        pairs.append([name, int(number)])
    return pairs


def _request(event: dict[str, Any], reco_algo: str, nsides: str | None, is_real: bool | None,
             max_pixel_seconds: int) -> dict[str, Any]:
    try:
        return scan_request(event, reco_algo, nsides, is_real, max_pixel_seconds)
    except ValueError as error:
        raise CommandError(f"--nsides: {error}", USAGE) from None
