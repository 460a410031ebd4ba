"""``python -m scanner.light.photons > config/data/shower_light.csv``: light of a shower in ice.

Photons leave a point-like shower along the z axis, scatter and are absorbed in homogeneous ice; wherever one
crosses a sphere around the shower, it adds to the fluence there. Lengths are in effective scattering lengths,
so one run serves all ice but for the ratio λe/λa of scattering to absorption, for which three weights are
carried along.

- Emission: density ∝ exp(−2.61 |cos θ − cos θ_C|^0.39) of an electromagnetic shower (as in the IceCube photon
  propagation code ppc, github.com/icecube/ppc; L. Rädel & C. Wiebusch, Astropart. Phys. 44 (2013) 102).
- Scattering: mean cosine 0.9, 45 % simplified Liu and 55 % Henyey–Greenstein (IceCube, NIM A711 (2013) 73).
- Fluence through a small sphere at the crossing is the weight over |cosine to the surface's normal|.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np

from config.ice import COS_CHERENKOV
from scanner.common.compiled import kernel

__all__ = ["COSINES", "RADII", "RATIOS", "emission_angles", "propagate", "write_table"]

MEAN_COSINE = 0.9
LIU_FRACTION = 0.45
RADII = np.geomspace(0.06, 10.0, 20)
"""Spheres, in effective scattering lengths."""
COSINES = np.linspace(-1.0, 1.0, 21)
"""Edges of the bins of cos α, α the angle at the shower between its axis and the sphere's point."""
RATIOS = np.array([0.22, 0.30, 0.40])
"""λe/λa; the South Pole has 0.27 … 0.33 almost everywhere."""
_LONGEST = 60.0  # path at which a photon is given up: exp(−0.22 · 60) = 2e-6
_GRAZING = 0.02  # least |cosine| to a sphere's normal; keeps single photons from dominating
QUANTITIES = ("fluence", "radial", "axial", "delay", "delay2")


def emission_angles(points: int = 4001) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of the emission and their cumulative probability, to be inverted by interpolation."""
    peak = COS_CHERENKOV + np.linspace(-0.02, 0.02, points)
    edges = np.sort(np.append(np.linspace(-1.0, 1.0, points), peak))
    middle = 0.5 * (edges[1:] + edges[:-1])
    weight = np.exp(-2.61 * np.abs(middle - COS_CHERENKOV) ** 0.39) * np.diff(edges)
    return edges, np.append(0.0, np.cumsum(weight) / weight.sum())


@kernel
def _scattering_cosine() -> float:
    x = np.random.random()
    if np.random.random() < LIU_FRACTION:  # p ∝ (1 + cos)^β with mean cosine g
        return 2.0 * x ** ((1.0 - MEAN_COSINE) / (1.0 + MEAN_COSINE)) - 1.0
    g = MEAN_COSINE
    s = (1.0 - g * g) / (1.0 + g * (2.0 * x - 1.0))
    return (1.0 + g * g - s * s) / (2.0 * g)


@kernel
def _turned(x: float, y: float, z: float, cosine: float) -> tuple[float, float, float]:
    """A direction at an angle of this cosine to (x, y, z), any azimuth."""
    sine = np.sqrt(max(1.0 - cosine * cosine, 0.0))
    phi = 2.0 * np.pi * np.random.random()
    a, b = sine * np.cos(phi), sine * np.sin(phi)
    across = np.sqrt(x * x + y * y)
    if across < 1e-9:
        return a, b, cosine * np.sign(z)
    new = (cosine * x + (a * x * z - b * y) / across, cosine * y + (a * y * z + b * x) / across,
           cosine * z - a * across)
    norm = 1.0 / np.sqrt(new[0] * new[0] + new[1] * new[1] + new[2] * new[2])
    return new[0] * norm, new[1] * norm, new[2] * norm


@kernel
def _score(sums: np.ndarray, k: int, radius: float, x: float, y: float, z: float, dx: float, dy: float,
           dz: float, path: float, ratios: np.ndarray) -> None:
    """Add a crossing of sphere k at (x, y, z) to its bin."""
    cosine = min(max(z / radius, -1.0), 1.0)
    radial = (x * dx + y * dy + z * dz) / radius
    sine = np.sqrt(max(1.0 - cosine * cosine, 1e-12))
    axial = (dz - cosine * radial) / sine
    bin_ = min(int((cosine + 1.0) * 0.5 * sums.shape[2]), sums.shape[2] - 1)
    delay = max(path - radius, 0.0)
    for q in range(len(ratios)):
        weight = np.exp(-ratios[q] * path) / max(abs(radial), _GRAZING)
        cell = sums[q, k, bin_]
        cell[0] += weight
        cell[1] += weight * radial
        cell[2] += weight * axial
        cell[3] += weight * delay
        cell[4] += weight * delay * delay


@kernel
def propagate(photons: int, seed: int, angles: np.ndarray, cumulative: np.ndarray, radii: np.ndarray,
              bins: int, ratios: np.ndarray) -> np.ndarray:
    """Follow photons; sums of `QUANTITIES`, shape (len(ratios), len(radii), bins, 5)."""
    np.random.seed(seed)
    sums = np.zeros((len(ratios), len(radii), bins, 5))
    for _ in range(photons):
        x = y = z = path = 0.0
        dx, dy, dz = _turned(0.0, 0.0, 1.0, np.interp(np.random.random(), cumulative, angles))
        while path < _LONGEST:
            step = -(1.0 - MEAN_COSINE) * np.log(1.0 - np.random.random())
            along = x * dx + y * dy + z * dz
            square = x * x + y * y + z * z
            nearest = square - along * along
            for k in range(len(radii)):
                inside = radii[k] * radii[k] - nearest
                if inside <= 0.0:
                    continue
                for sign in (-1.0, 1.0):
                    t = -along + sign * np.sqrt(inside)
                    if 0.0 < t <= step:
                        _score(sums, k, radii[k], x + t * dx, y + t * dy, z + t * dz, dx, dy, dz, path + t,
                               ratios)
            x, y, z, path = x + step * dx, y + step * dy, z + step * dz, path + step
            if x * x + y * y + z * z > 4.0 * radii[-1] * radii[-1]:
                break
            dx, dy, dz = _turned(dx, dy, dz, _scattering_cosine())
    return sums


def write_table(sums: np.ndarray, photons: int, seed: int) -> None:
    """Print the table: light yield relative to unscattered light, mean directions, gamma shape and rate."""
    print("# Light of a point-like electromagnetic shower in homogeneous ice, from a photon Monte Carlo.")
    print(f"# python -m scanner.light.photons --photons {photons} --seed {seed}   "
          "(physics: head of that module)")
    print("# ratio λe/λa; distance r in λe; cos α at the shower; fluence times 4πr² per photon; mean photon")
    print("# direction along r and towards the axis; delay beyond r in λe: mean and variance")
    print("ratio,distance,cosine,yield,radial,axial,mean,variance")
    bins = sums.shape[2]
    for q, ratio in enumerate(RATIOS):
        for k, radius in enumerate(RADII):
            for j in range(bins):
                fluence, radial, axial, delay, delay2 = sums[q, k, j]
                mean = delay / fluence
                values = (fluence / photons * bins, radial / fluence, axial / fluence, mean,
                          max(delay2 / fluence - mean * mean, 1e-6))
                cosine = (j + 0.5) * 2.0 / bins - 1.0
                print(f"{ratio:g},{radius:.5g},{cosine:.4g}," + ",".join(f"{v:.4g}" for v in values))


def main() -> None:
    """Run the Monte Carlo and print the table."""
    parser = argparse.ArgumentParser(prog="python -m scanner.light.photons", description="Light of a shower.")
    parser.add_argument("--photons", type=int, default=2_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    sums = propagate(options.photons, options.seed, *emission_angles(), RADII, len(COSINES) - 1, RATIOS)
    write_table(sums, options.photons, options.seed)
    print(f"{options.photons} photons", file=sys.stderr)


if __name__ == "__main__":
    main()
