"""How a muon loses its energy in ice: single losses drawn from published cross sections.

Four processes, per molecule of water, as functions of the share v of the muon's energy that is lost:

- electron pairs: R. Kokoulin & A. Petrukhin, Proc. 12th ICRC (1971) 6, 2436, with the atomic electrons'
  share of S. Kelner (1998);
- bremsstrahlung: S. Kelner, R. Kokoulin & A. Petrukhin, Moscow preprint 024-95 (1995), nuclear form factor
  and atomic electrons included;
- photonuclear: L. Bezrukov & E. Bugaev, Sov. J. Nucl. Phys. 33 (1981) 635;
- knock-on electrons: spin-½ formula of the Particle Data Group's review.

All are written as in D. Groom, N. Mokhov & S. Striganov, Atomic Data and Nuclear Data Tables 78 (2001) 183.
Losses below a cut are taken off along the way, with the rest of the ionisation.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

__all__ = ["MuonLosses", "draw_losses", "relative_loss"]

_ALPHA = 1.0 / 137.035999
_RADIUS = 2.8179403e-15  # classical electron radius, m
_ELECTRON, _MUON = 0.51099895e-3, 0.1056583755  # GeV
_ROOT_E = np.sqrt(np.e)
_DENSITY, _MOLAR = 0.917e6, 18.015  # g/m³ and g/mol of ice
_MOLECULES = _DENSITY / _MOLAR * 6.02214076e23  # per m³
_IONISATION = 0.266
"""Mean ionisation loss of a TeV muon, GeV/m (2.9 MeV cm²/g: the tables of Groom et al., water)."""


@dataclass(frozen=True)
class _Atom:
    charge: int
    mass: float
    count: int  # per molecule
    screening: float  # the radiation logarithm's constant B
    inelastic: float  # the same for the atomic electrons, B′
    gamma1: float
    gamma2: float


_ATOMS = (_Atom(1, 1.008, 2, 202.4, 446.0, 4.4e-5, 4.8e-5),
          _Atom(8, 15.999, 1, 182.7, 1429.0, 1.95e-5, 5.3e-5))

_SHARES = np.geomspace(1e-7, 1.0 - 1e-6, 280)
_ENERGIES = np.geomspace(5.0, 1e8, 37)  # GeV


@dataclass(frozen=True)
class MuonLosses:
    """Single losses in the order of flight; arrays of shape (n,), and sums over the way, GeV."""

    distance: np.ndarray  # m from the start
    energy: np.ndarray  # GeV
    muon_energy: np.ndarray  # of the muon before each loss, GeV
    left: float  # energy at the end of the way; 0 where the muon stopped
    even: float  # radiated in pieces below the cut


def _pairs(atom: _Atom, energy: float, v: np.ndarray) -> np.ndarray:
    """dσ/dv of electron pairs, m²; the asymmetry ρ is integrated by Gauss–Legendre."""
    z, gamma = atom.charge, energy / _MUON
    inside = (1.0 - v > 1.5 * _ROOT_E / 2 * _MUON / energy * z ** (1 / 3)) & (v > 4 * _ELECTRON / energy)
    v = np.where(inside, v, 0.5)[:, None]
    room = np.sqrt(np.maximum(1 - 4 * _ELECTRON / (energy * v), 0))
    largest = (1 - 6 * _MUON**2 / (energy**2 * (1 - v))) * room
    nodes, weights = np.polynomial.legendre.leggauss(48)
    # ρ crowds at its limit: substitute 1 − ρ = (1 − ρ_max) + …, uniform in the square root
    half = 0.5 * (nodes + 1.0)
    rho2 = (np.maximum(largest, 0) * (1 - half**2)) ** 2
    jacobian = np.maximum(largest, 0) * 2 * half * 0.5 * weights
    beta = v**2 / (2 * (1 - v))
    xi = (_MUON * v / (2 * _ELECTRON)) ** 2 * (1 - rho2) / (1 - v)
    radiation = atom.screening * z ** (-1 / 3)
    y_e = ((5 - rho2 + 4 * beta * (1 + rho2))
           / (2 * (1 + 3 * beta) * np.log(3 + 1 / xi) - rho2 - 2 * beta * (2 - rho2)))
    y_m = ((4 + rho2 + 3 * beta * (1 + rho2))
           / ((1 + rho2) * (1.5 + 2 * beta) * np.log(3 + xi) + 1 - 1.5 * rho2))
    recoil = 2 * _ELECTRON * _ROOT_E * radiation * (1 + xi) / (energy * v * (1 - rho2))
    l_e = (np.log(radiation * np.sqrt((1 + xi) * (1 + y_e)) / (1 + recoil * (1 + y_e)))
           - 0.5 * np.log1p((1.5 * _ELECTRON / _MUON * z ** (1 / 3)) ** 2 * (1 + xi) * (1 + y_e)))
    l_m = np.log(2 / 3 * _MUON / _ELECTRON * radiation * z ** (-1 / 3) / (1 + recoil * (1 + y_m)))
    phi_e = (((2 + rho2) * (1 + beta) + xi * (3 + rho2)) * np.log1p(1 / xi)
             + (1 - rho2 - beta) / (1 + xi) - (3 + rho2))
    phi_m = (((1 + rho2) * (1 + 1.5 * beta) - (1 + 2 * beta) * (1 - rho2) / xi) * np.log1p(xi)
             + xi * (1 - rho2 - beta) / (1 + xi) + (1 + 2 * beta) * (1 - rho2))
    integrand = np.maximum(phi_e * l_e, 0) + (_ELECTRON / _MUON) ** 2 * np.maximum(phi_m * l_m, 0)
    electrons = 0.0
    if gamma > 90:
        electrons = ((0.073 * np.log(gamma / (1 + atom.gamma1 * z ** (2 / 3) * gamma)) - 0.26)
                     / (0.058 * np.log(gamma / (1 + atom.gamma2 * z ** (1 / 3) * gamma)) - 0.14))
    scale = 4 / (3 * np.pi) * z * (z + max(electrons, 0.0)) * (_ALPHA * _RADIUS) ** 2
    return np.where(inside, scale * ((1 - v) / v)[:, 0] * (integrand * jacobian).sum(axis=1), 0.0)


def _bremsstrahlung(atom: _Atom, energy: float, v: np.ndarray) -> np.ndarray:
    """dσ/dv, m²."""
    z = atom.charge
    delta = _MUON**2 * v / (2 * energy * (1 - v))
    screening = atom.screening * z ** (-1 / 3)
    nucleus = np.log(screening * _MUON / _ELECTRON / (1 + delta * _ROOT_E * screening / _ELECTRON))
    if z > 1:
        size = 1.54 * atom.mass**0.27
        nucleus -= np.log(size / (1 + delta * (size * _ROOT_E - 2) / _MUON))
    electrons = (np.log(_MUON / delta / (delta * _MUON / _ELECTRON**2 + _ROOT_E))
                 - np.log1p(_ELECTRON / (delta * _ROOT_E * atom.inelastic * z ** (-2 / 3))))
    both = z * np.maximum(nucleus, 0) + np.maximum(electrons, 0)
    return _ALPHA * (2 * _RADIUS * _ELECTRON / _MUON) ** 2 * z * (4 / 3 - 4 / 3 * v + v**2) / v * both


def _photonuclear(atom: _Atom, energy: float, v: np.ndarray) -> np.ndarray:
    """dσ/dv, m²; none below photon energies of 0.2 GeV."""
    photon = 114.3 + 1.647 * np.log(0.0213 * energy * v) ** 2  # μb per nucleon
    x = 0.00282 * atom.mass ** (1 / 3) * photon
    shadow = 3 / x**3 * (x**2 / 2 - 1 + np.exp(-x) * (1 + x)) if atom.charge > 1 else np.ones_like(v)
    t, m1, m2, mass = _MUON**2 * v**2 / (1 - v), 0.54, 1.8, _MUON**2
    kappa = 1 - 2 / v + 2 / v**2
    hard = kappa * np.log1p(m1 / t) - kappa * m1 / (m1 + t) - 2 * mass / t
    soft = kappa * np.log1p(m2 / t) - 2 * mass / t
    rest = mass / (2 * t) * (0.75 * shadow * m1 / (m1 + t) + 0.25 * m2 / t * np.log1p(t / m2))
    value = 0.75 * shadow * hard + 0.25 * soft + rest
    return np.where(energy * v > 0.2, _ALPHA / (2 * np.pi) * atom.mass * photon * 1e-34 * v * value, 0.0)


def _knock_on(energy: float, v: np.ndarray) -> np.ndarray:
    """dN/dv per metre of ice."""
    gamma = energy / _MUON
    most = 2 * _ELECTRON * gamma**2 / (1 + 2 * gamma * _ELECTRON / _MUON + (_ELECTRON / _MUON) ** 2)
    transfer = v * energy
    scale = 0.5 * 0.307075e-3 * 1e-4 * _DENSITY * 10 / _MOLAR  # GeV/m
    shape = (1 - transfer / most + 0.5 * v**2) / transfer**2
    return np.where(transfer < most, scale * energy * shape, 0.0)


def _spectrum(energy: float, v: np.ndarray) -> np.ndarray:
    """dN/dv per metre of ice, all processes."""
    total = _knock_on(energy, v)
    for atom in _ATOMS:
        for process in (_pairs, _bremsstrahlung, _photonuclear):
            total = total + _MOLECULES * atom.count * np.maximum(process(atom, energy, v), 0.0)
    return total


@dataclass(frozen=True)
class _Table:
    """Losses per metre with more than a share v, and the energy lost in those below; (energies, shares)."""

    above: np.ndarray  # 1/m
    below: np.ndarray  # relative loss by radiation, 1/m


@cache
def _table() -> _Table:
    steps = np.diff(np.log(_SHARES))
    above, below = [], []
    for energy in _ENERGIES:
        rate = _spectrum(energy, _SHARES) * _SHARES
        radiated = (_spectrum(energy, _SHARES) - _knock_on(energy, _SHARES)) * _SHARES**2
        part = 0.5 * (rate[1:] + rate[:-1]) * steps
        lost = 0.5 * (radiated[1:] + radiated[:-1]) * steps
        above.append(np.append(part[::-1].cumsum()[::-1], 0.0))
        below.append(np.append(0.0, lost.cumsum()))
    return _Table(np.array(above), np.array(below))


def relative_loss(energy: float) -> float:
    """Mean radiative loss of a muon of `energy` GeV relative to its energy, 1/m."""
    return float(np.interp(np.log(energy), np.log(_ENERGIES), _table().below[:, -1]))


def _rows(energy: float) -> tuple[np.ndarray, np.ndarray]:
    """The two rows of the table at an energy (GeV)."""
    position = np.interp(np.log(energy), np.log(_ENERGIES), np.arange(len(_ENERGIES)))
    k = min(int(position), len(_ENERGIES) - 2)
    f, table = position - k, _table()
    return ((1 - f) * table.above[k] + f * table.above[k + 1],
            (1 - f) * table.below[k] + f * table.below[k + 1])


def _ionisation(energy: float, cut: float) -> float:
    """GeV per metre lost by ionisation in pieces of less than `cut` GeV."""
    single = 0.5 * 0.307075e-3 * 1e-4 * _DENSITY * 10 / _MOLAR * np.log(max(energy / cut, 1.0))
    return float(max(_IONISATION - single, 0.15))


def draw_losses(rng: np.random.Generator, energy: float, length: float, cut: float) -> MuonLosses:
    """Single losses of at least `cut` GeV of a muon of `energy` GeV on a way of `length` m.

    The muon stops where its energy falls below five times the cut.
    """
    distance: list[float] = []
    losses: list[float] = []
    before: list[float] = []
    here = even = 0.0
    while energy > 5 * cut and energy > _ENERGIES[0]:
        above, below = _rows(energy)
        rate = float(np.interp(cut / energy, _SHARES, above))
        radiated = energy * float(np.interp(cut / energy, _SHARES, below))
        slow = _ionisation(energy, cut) + radiated
        free = rng.exponential(1.0 / rate) if rate > 0 else np.inf
        step = min(free, 0.05 * energy / slow)  # so far the rates hold
        is_over = here + step >= length
        way = min(step, length - here)
        here, energy, even = here + way, energy - slow * way, even + radiated * way
        if is_over:
            return MuonLosses(np.array(distance), np.array(losses), np.array(before), energy, even)
        if step == free:
            share = float(np.interp(rng.uniform() * rate, above[::-1], _SHARES[::-1]))
            distance.append(here)
            before.append(energy)
            losses.append(share * energy)
            energy -= share * energy
    return MuonLosses(np.array(distance), np.array(losses), np.array(before), 0.0, even)
