"""What a finished scan leaves: a summary for people, one for programs, and files."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from iceprod.cli.common.files import save
from iceprod.cli.common.screen import safe
from iceprod.client import Client

__all__ = ["Outcome", "distance"]

_BEST_FIT = ("ra_deg", "dec_deg", "llh", "nside", "pixel")
_REGIONS = ("area_50_deg2", "area_90_deg2", "level_set", "area_50_limits", "area_90_limits")
_FILES = {"skymap": ("skymap.png", "png?view=sky"), "zoom": ("zoom.png", "png?view=zoom"),
          "result": ("result.json", "json"), "npz": ("result.npz", "npz")}


@dataclass(frozen=True)
class Outcome:
    """A scan with its final result."""

    scan_id: str
    manifest: dict[str, Any]
    progress: dict[str, Any]
    truth: tuple[float, float] | None = None  # RA and Dec, degrees, of a simulated event
    files: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What its files are called by default: event and scan."""
        event = self.event
        return f"run{event.get('run_id', 0)}-event{event.get('event_id', 0)}-{self.scan_id}"

    @property
    def event(self) -> dict[str, Any]:
        return self.manifest.get("event_metadata") or {}

    def fetch(self, client: Client, directory: Path) -> Outcome:
        """Store pictures and results; the outcome with their paths."""
        files = {}
        for kind, (name, form) in _FILES.items():
            content = client.get(f"/scan/{self.scan_id}/skymap.{form}", timeout=120, patience=30)
            if not isinstance(content, bytes):
                content = json.dumps(content).encode()
            files[kind] = str(save(directory / name, content))
        return Outcome(self.scan_id, self.manifest, self.progress, self.truth, files)

    def document(self, reco_algo: str) -> dict[str, Any]:
        """The one object that ``--json`` prints."""
        progress, event = self.progress, self.event
        document = {
            "scan_id": self.scan_id, "run_id": event.get("run_id"), "event_id": event.get("event_id"),
            "reco_algo": reco_algo, "best_fit": {name: progress["best_fit"][name] for name in _BEST_FIT},
            "reconstruction": progress["reconstruction"], "choice": progress["choice"],
            **{name: progress[name] for name in _REGIONS},
            "energy": progress.get("energy"),
            "levels": [{"nside": level["nside"], "pixels": level["done"]} for level in progress["levels"]],
            "pixels": progress["pixels_done"], "wall_s": progress["wall_s"], "cpu_s": progress["cpu_s"],
            "files": self.files}
        if self.truth:
            document["truth"] = {"ra_deg": self.truth[0], "dec_deg": self.truth[1]}
            document["distance_deg"] = self._distance()
        return document

    def show(self, console: Console, address: str) -> None:
        """Tell a person what came out."""
        for line in ["", *self._lines(), *([f"see        {address}"] if address else [])]:
            console.print(safe(line), highlight=False, markup=False, soft_wrap=True)

    def show_files(self, console: Console) -> None:
        """Tell where they are."""
        for path in self.files.values():
            console.print(safe(f"file       {path}"), highlight=False, markup=False, soft_wrap=True)

    def _lines(self) -> list[str]:
        progress, best = self.progress, self.progress["best_fit"]
        areas = [_area(progress[f"area_{level}_deg2"], progress[f"area_{level}_limits"])
                 for level in (50, 90)]
        lines = [f"best fit   RA {best['ra_deg']:.3f}°  Dec {best['dec_deg']:+.3f}°   "
                 f"(nside {best['nside']}, pixel {best['pixel']}, −ln L {best['llh']:.3f})",
                 f"areas      50 %: {areas[0]}   90 %: {areas[1]}   by {progress['level_set']}"]
        if choice := progress["choice"]:
            lines.append(f"auto       chose {choice['reco']}, {100 * choice['sureness']:.0f} % sure: "
                         f"{choice['why']}")
        if progress.get("energy"):
            lines.append(f"energy     {progress['energy']['text']}")
        if self.truth:
            lines.append(f"truth      RA {self.truth[0]:.3f}°  Dec {self.truth[1]:+.3f}°   "
                         f"({self._distance():.3f}° from the best fit)")
        lines.append(f"work       {progress['pixels_done']} pixels in {progress['wall_s']:.1f} s "
                     f"({progress['cpu_s']:.1f} s of processor time)")
        return lines

    def _distance(self) -> float:
        best = self.progress["best_fit"]
        return distance(self.truth or (0.0, 0.0), (best["ra_deg"], best["dec_deg"]))


def distance(one: tuple[float, float], other: tuple[float, float]) -> float:
    """Degrees between two directions, right ascension and declination in degrees (Vincenty's formula)."""
    (ra1, dec1), (ra2, dec2) = (tuple(map(math.radians, place)) for place in (one, other))
    delta = ra2 - ra1
    across = math.cos(dec2) * math.sin(delta)
    along = math.cos(dec1) * math.sin(dec2) - math.sin(dec1) * math.cos(dec2) * math.cos(delta)
    inward = math.sin(dec1) * math.sin(dec2) + math.cos(dec1) * math.cos(dec2) * math.cos(delta)
    return math.degrees(math.atan2(math.hypot(across, along), inward))


def _area(value: float | None, limits: str) -> str:
    size = "unknown" if value is None else f"{value:.3g} deg²"
    return f"{size} ({limits})" if limits else size
