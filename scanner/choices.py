"""``iceprod bench choices --sample DIR [--above GEV] [--json]``: what `auto` makes of events with truth.

For every event of a folder of simulated events (forms: `scanner.simulation.samples`) it finds which
reconstruction `auto` chooses, and counts: the confusion matrix, for all events and for those above an energy.
Wrong is a shower's fit for a track, and a passing track's for a shower; `millipede` takes both. Nothing is
scanned, so a hundred events take seconds.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from scanner.common.errors import ScannerError
from scanner.recos.auto import choose
from scanner.simulation.samples import read_true_event, sample_files

__all__ = ["Chosen", "chosen", "confusion"]

RECOS = ("track", "millipede", "cascade")
WRONG = {"track": "cascade", "cascade": "track"}
"""What must not be chosen, by the kind of event."""
ABOVE = 3e4


class Chosen(msgspec.Struct, frozen=True):
    """What was chosen for one event of known kind."""

    name: str
    kind: str
    energy_gev: float  # true; of a track where it enters
    reco: str
    speed: float  # of the line through its first hits, m/ns
    sureness: float

    @property
    def is_wrong(self) -> bool:
        """Whether the fit cannot describe such an event."""
        return WRONG[self.kind] == self.reco


def chosen(path: Path) -> Chosen:
    """The choice for one file of a sample; raises EventError when it cannot be used."""
    told = read_true_event(path)
    choice = choose(told.event)
    return Chosen(path.name, told.truth.shape, told.truth.energy, choice.reco, choice.speed, choice.sureness)


def confusion(events: Sequence[Chosen]) -> dict[str, dict[str, int]]:
    """Kind → number of events by the reconstruction that was chosen, and of `wrong` ones."""
    return {kind: {**{reco: sum(one.reco == reco for one in events if one.kind == kind) for reco in RECOS},
                   "wrong": sum(one.is_wrong for one in events if one.kind == kind)}
            for kind in sorted({one.kind for one in events})}


def _document(events: Sequence[Chosen], sample: Path, above: float) -> dict[str, Any]:
    return {"sample": sample.name, "above_gev": above, "all": confusion(events),
            "above": confusion([one for one in events if one.energy_gev > above]),
            "wrong": [msgspec.to_builtins(one) for one in events if one.is_wrong]}


def _text(document: dict[str, Any]) -> str:
    lines = [f"sample {document['sample']}: {'':12} " + " ".join(f"{name:>10}" for name in (*RECOS, "wrong"))]
    for key, title in (("all", "all"), ("above", f"above {document['above_gev'] / 1e3:g} TeV")):
        lines += [f"  {kind:<10} {title:<16} " + " ".join(f"{row[name]:>10}" for name in (*RECOS, "wrong"))
                  for kind, row in document[key].items()]
    lines += [f"  wrong: {one['name']}, {one['kind']} of {one['energy_gev'] / 1e3:.3g} TeV, {one['reco']} at "
              f"{one['speed']:.2f} m/ns, {100 * one['sureness']:.0f} % sure" for one in document["wrong"]]
    return "\n".join(lines)


def main() -> int:
    """Print the choices for a sample as text or as JSON; 2 when it cannot be read."""
    parser = argparse.ArgumentParser(prog="iceprod bench choices", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sample", type=Path, required=True, metavar="DIR",
                        help="folder of events with truth")
    parser.add_argument("--above", type=float, default=ABOVE, metavar="GEV", help="[%(default)g]")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        events = [chosen(path) for path in sample_files(options.sample)]
    except ScannerError as error:
        print(f"iceprod bench choices: {error}", file=sys.stderr)
        return 2
    document = _document(events, options.sample, options.above)
    print(json.dumps(document, indent=1) if options.json else _text(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
