"""The commands ``iceprod simulate``, ``iceprod event``, ``iceprod systematics`` and ``iceprod recos``.

What computes is imported when a command runs, so that listing the commands stays quick.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from scanner.events.event import Event

__all__ = ["event", "recos", "simulate", "systematics"]

_FEWEST_PULSES = 8


@click.command()
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same event.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), help="[default: event-SEED.json]")
@click.option("--zenith", type=click.FloatRange(0, 180), metavar="DEG", help="Default: drawn.")
@click.option("--azimuth", type=click.FloatRange(0, 360), metavar="DEG", help="Default: drawn.")
@click.option("--energy", type=click.FloatRange(1e2, 1e9), default=1e5, show_default=True, metavar="GEV")
@click.option("--vertex", type=(float, float, float), metavar="X Y Z", help="A point on the track, m.")
@click.option("--mjd", type=click.FloatRange(41317, 88069), help="Time (UTC).")
@click.option("--run-id", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option("--event-id", type=click.IntRange(0, 2**31 - 1), help="[default: the seed]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object: the file and the truth.")
def simulate(seed: int, out: Path | None, zenith: float | None, azimuth: float | None, energy: float,
             vertex: tuple[float, float, float] | None, mjd: float | None, run_id: int,
             event_id: int | None, as_json: bool) -> None:
    """Simulate a muon track in IceCube and write it as a realtime event.

    The file tells the true direction, so that `iceprod scan` can say how far off it is.
    """
    import numpy as np

    from scanner.events.writer import write_event
    from scanner.simulation.simulate import DEFAULT_MJD, simulate_track

    rng = np.random.default_rng(seed)
    drawn = np.arccos(rng.uniform(-1, 1)), rng.uniform(0, 2 * np.pi), rng.uniform(-150, 150, 3)
    event = simulate_track(
        rng, drawn[0] if zenith is None else np.radians(zenith),
        drawn[1] if azimuth is None else np.radians(azimuth), energy=energy,
        vertex=vertex or tuple(drawn[2]), mjd=DEFAULT_MJD if mjd is None else mjd, run_id=run_id,
        event_id=seed % 2**31 if event_id is None else event_id)
    if len(event.cleaned) < _FEWEST_PULSES:
        raise click.ClickException("the event is too dim to be seen; give more --energy, or a --vertex that "
                                   "is nearer to the detector")
    path = out or Path(f"event-{seed}.json")
    truth = _truth(event.truth.zenith, event.truth.azimuth, event.mjd) if event.truth else {}
    _write(path, {**write_event(event), "truth": truth})
    told = {"file": str(path), "run_id": event.run_id, "event_id": event.event_id,
            "pulses": len(event.pulses), "truth": truth}
    click.echo(json.dumps(told) if as_json else
               f"{path}: run {event.run_id} event {event.event_id}, {len(event.pulses)} pulses, from "
               f"RA {truth['ra_deg']:.3f}° Dec {truth['dec_deg']:+.3f}°")


def _truth(zenith: float, azimuth: float, mjd: float) -> dict[str, float]:
    import numpy as np

    from scanner.events.directions import detector_to_icrs

    ra, dec = np.degrees(detector_to_icrs(zenith, azimuth, mjd))
    return {"ra_deg": float(ra), "dec_deg": float(dec), "zenith_deg": float(np.degrees(zenith)),
            "azimuth_deg": float(np.degrees(azimuth))}


def _write(path: Path, document: dict[str, object]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document), encoding="utf8")
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from None


@click.command()
@click.argument("file", metavar="EVENT.json", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--plot", type=click.Path(dir_okay=False, path_type=Path), metavar="OUT.png",
              help="Draw the event, from the side and from above (PNG, PDF or SVG).")
def event(file: Path, as_json: bool, plot: Path | None) -> None:
    """Show what is in the file of an event, without scanning it."""
    from scanner.common.errors import EventError
    from scanner.survey import survey
    from scanner.survey_text import as_document, as_text

    try:
        told, found = survey(file, name=str(file))
    except EventError as error:
        raise click.ClickException(str(error)) from None
    click.echo(json.dumps(as_document(told)) if as_json else as_text(told))
    if plot is None:
        return
    if found is None:
        raise click.ClickException(f"there is nothing to draw: {told.problem}")
    _draw(found, plot)
    click.echo(str(plot), err=as_json)


def _draw(found: Event, plot: Path) -> None:
    from scanner.events.event_plot import plot_event

    try:
        plot.parent.mkdir(parents=True, exist_ok=True)
        plot_event(found, plot)
    except (OSError, ValueError) as error:  # matplotlib's for an ending that it does not know
        raise click.ClickException(f"cannot draw {plot}: {error}") from None


@click.command()
@click.argument("file", metavar="EVENT.json", type=click.Path(path_type=Path))
@click.option("--reco-algo", default="auto", show_default=True, help="See `iceprod recos`.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def systematics(file: Path, reco_algo: str, as_json: bool) -> None:
    """Tell how far an event's best fit moves when the ice is another.

    The event is scanned on this machine in every ice model: seconds for a track, half a minute for a shower.
    """
    import msgspec

    from scanner.common.errors import ScannerError
    from scanner.events.i3live import read_event
    from scanner.systematics import as_text
    from scanner.systematics import systematics as measure

    try:
        told = measure(read_event(file), reco_algo)
    except (ScannerError, OSError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(msgspec.json.encode(told) if as_json else as_text(told))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--compile", "compile_all", is_flag=True, help="Compile them now, ahead of their first use.")
def recos(as_json: bool, compile_all: bool) -> None:
    """List the reconstructions that a scan can use."""
    from scanner.recos.recos import ALIASES, RECOS, warm_up

    if compile_all:
        for name in RECOS:
            warm_up(name)

    table = {name: {"description": reco.description, "cost": reco.cost,
                    "aliases": [alias for alias, meant in ALIASES.items() if meant == name]}
             for name, reco in RECOS.items()}
    if as_json:
        click.echo(json.dumps(table))
        return
    for name, entry in table.items():
        others = f"  (also: {', '.join(entry['aliases'])})" if entry["aliases"] else ""
        click.echo(f"{name:<14} {entry['description']}  Cost: {entry['cost']}{others}")
