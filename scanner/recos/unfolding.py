"""Energies of showers whose light per GeV is known, unfolded from charges in bins.

−ln L is that of a negative binomial: a Poisson distribution whose expectation is itself uncertain by a known
share (a gamma distribution; Argüelles, Schneider & Yuan, JHEP 06 (2019) 030). A bright bin then counts as
1 / share² photons at most. To it comes −ln of a gamma prior on every energy,

    prior · (E/Ē − 1 − ln(E/Ē)),

which keeps energies positive, makes them unique where showers see the same bins, and costs a shower of a
hundred times the typical energy Ē some 95 · prior. Multiplicative updates with this prior are exact in the
Poisson limit (Shepp & Vardi, IEEE TMI 1 (1982) 113; Lange, Bahn & Little, IEEE TMI 6 (1987) 106); they come
near fast and then crawl, so Fisher scoring in ln E ends the search (energy losses by unfolding: IceCube,
JINST 9 (2014) P03009).

Single precision halves what streams through the processor; −ln L is summed in double. Products of matrices
and the solution of equations are written out: a library's would wake its threads for nothing, and take longer
to compile.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from scanner.common.compiled import fast_kernel, kernel
from scanner.common.fastmath import fast_log

__all__ = ["Counts", "Equations", "approach", "copy_to", "expect", "objective", "scoring", "shift_energies",
           "solve"]

LONGEST_LN = 2.0
"""Longest step of Fisher scoring in ln E."""
IDLE = 3e-3
"""A shower of less information, beside what its prior and its bend add, is solved for by itself."""


class Counts(NamedTuple):
    """Charges in bins, float32, what is expected without showers, and how far the model is believed."""

    charge: np.ndarray
    noise: np.ndarray
    weight: np.ndarray
    size: float  # of the negative binomial: 1 / (relative model error)²
    prior: float
    per_typical: float  # 1 / Ē, 1/GeV


class Equations(NamedTuple):
    """Fisher information, gradient and solution for so many parameters; double."""

    information: np.ndarray  # (n, n)
    gradient: np.ndarray
    step: np.ndarray


@fast_kernel
def copy_to(target: np.ndarray, source: np.ndarray) -> None:
    """One row's numbers to another: numba compiles the loop in a tenth of the time of a slice."""
    for k in range(len(source)):
        target[k] = source[k]


@fast_kernel
def expect(mu: np.ndarray, base: np.ndarray, matrix: np.ndarray, energy: np.ndarray) -> None:
    """Expected charges: four sources at a time, so that mu is loaded and stored less often."""
    n, bins = len(energy), len(mu)
    for i in range(bins):
        mu[i] = base[i]
    for j in range(n // 4 * 4, n):
        a, ea = np.uint64(j * bins), energy[j]
        for k in range(bins):
            m = np.uint64(k)
            mu[m] += ea * matrix[a + m]
    for j in range(0, n // 4 * 4, 4):
        a, b = np.uint64(j * bins), np.uint64((j + 1) * bins)
        c, d = np.uint64((j + 2) * bins), np.uint64((j + 3) * bins)
        ea, eb, ec, ed = energy[j], energy[j + 1], energy[j + 2], energy[j + 3]
        for k in range(bins):
            m = np.uint64(k)
            mu[m] += ea * matrix[a + m] + eb * matrix[b + m] + ec * matrix[c + m] + ed * matrix[d + m]


@fast_kernel
def _update(energy: np.ndarray, matrix: np.ndarray, up: np.ndarray, down: np.ndarray, counts: Counts,
            accelerated: bool) -> None:
    """Multiply every energy by the ratio of its projections, prior included, or by its 1.5th power."""
    bins = len(up)
    prior, per_typical = np.float32(counts.prior), np.float32(counts.prior * counts.per_typical)
    for j in range(len(energy)):
        at = np.uint64(j * bins)
        more, less = np.float32(0.0), np.float32(1e-12)
        for k in range(bins):
            i = np.uint64(k)
            more += matrix[at + i] * up[i]
            less += matrix[at + i] * down[i]
        ratio = (more + prior / energy[j]) / (less + per_typical)
        energy[j] *= ratio * np.sqrt(ratio) if accelerated else ratio


@fast_kernel
def _ratios(up: np.ndarray, down: np.ndarray, mu: np.ndarray, counts: Counts) -> None:
    charge, weight, per_size = counts.charge, counts.weight, np.float32(1.0 / counts.size)
    for i in range(len(mu)):
        share = weight[i] / (np.float32(1.0) + mu[i] * per_size)
        down[i] = share
        up[i] = charge[i] / mu[i] * share


@kernel
def approach(mu: np.ndarray, base: np.ndarray, matrix: np.ndarray, energy: np.ndarray, counts: Counts,
             fast: int, plain: int) -> float:
    """Improve energies by so many accelerated and plain updates; their expectation, and −ln L."""
    up, down = np.empty_like(mu), np.empty_like(mu)
    expect(mu, base, matrix, energy)
    for step in range(fast + plain):
        _ratios(up, down, mu, counts)
        _update(energy, matrix, up, down, counts, step < fast)
        expect(mu, base, matrix, energy)
    return objective(mu, energy, counts)


@fast_kernel
def objective(mu: np.ndarray, energy: np.ndarray, counts: Counts) -> float:
    """−ln L, terms of the charges alone left out, and of the prior."""
    charge, weight, size = counts.charge, counts.weight, counts.size
    total, per_size, prior = 0.0, 1.0 / counts.size, 0.0
    for i in range(len(mu)):
        expected, seen = np.float64(mu[i]), np.float64(charge[i])
        total += weight[i] * ((seen + size) * fast_log(1.0 + expected * per_size) - seen * fast_log(expected))
    for j in range(len(energy)):
        share = energy[j] * counts.per_typical
        prior += share - 1.0 - fast_log(share)
    return total + counts.prior * prior


@fast_kernel
def _products(information: np.ndarray, one: np.ndarray, two: np.ndarray, slopes: np.ndarray,
              rows: np.ndarray, p: int, other: int) -> None:
    """Two of the `rows` of the information, from column p of them on, four columns at a time."""
    bins, q, none, n = len(one), p, np.float32(0.0), len(rows)
    first, second = rows[p], rows[other]
    while q + 4 <= n:
        ja, jb, jc, jd = rows[q], rows[q + 1], rows[q + 2], rows[q + 3]
        a, b, c, d = np.uint64(ja * bins), np.uint64(jb * bins), np.uint64(jc * bins), np.uint64(jd * bins)
        ta = tb = tc = td = ua = ub = uc = ud = none
        for k in range(bins):
            i = np.uint64(k)
            x, y = one[i], two[i]
            sa, sb, sc, sd = slopes[a + i], slopes[b + i], slopes[c + i], slopes[d + i]
            ta += x * sa
            tb += x * sb
            tc += x * sc
            td += x * sd
            ua += y * sa
            ub += y * sb
            uc += y * sc
            ud += y * sd
        information[first, ja], information[first, jb] = ta, tb
        information[first, jc], information[first, jd] = tc, td
        information[second, ja], information[second, jb] = ua, ub
        information[second, jc], information[second, jd] = uc, ud
        q += 4
    while q < n:
        j = rows[q]
        a, ta, ua = np.uint64(j * bins), none, none
        for k in range(bins):
            i = np.uint64(k)
            ta += one[i] * slopes[a + i]
            ua += two[i] * slopes[a + i]
        information[first, j], information[second, j] = ta, ua
        q += 1


@fast_kernel
def _scaled(scaled: np.ndarray, each: np.ndarray, slopes: np.ndarray, p: int) -> None:
    """Row p of the slopes, weighted."""
    at = np.uint64(p * len(each))
    for k in range(len(each)):
        i = np.uint64(k)
        scaled[i] = each[i] * slopes[at + i]


@fast_kernel
def _own(each: np.ndarray, pull: np.ndarray, slopes: np.ndarray,
         p: int) -> tuple[np.float32, np.float32]:
    """Gradient and information of parameter p by itself."""
    at, slope, own = np.uint64(p * len(each)), np.float32(0.0), np.float32(0.0)
    for k in range(len(each)):
        i = np.uint64(k)
        one = slopes[at + i]
        slope += pull[i] * one
        own += each[i] * one * one
    return slope, own


@fast_kernel
def _choose_rows(equations: Equations, rows: np.ndarray, places: int, energy: np.ndarray, each: np.ndarray,
                 pull: np.ndarray, slopes: np.ndarray, counts: Counts) -> int:
    """Gradient and diagonal of the information, all else of it zero; how many `rows` see something in common.

    The diagonal of an energy holds what the bend of exp and the prior add to it.
    """
    information, gradient, _ = equations
    n, count = places + len(energy), 0
    for p in range(n):
        gradient[p], information[p, p] = _own(each, pull, slopes, p)
        for q in range(p + 1, n):
            information[p, q] = 0.0
        rows[count] = p
        if p < places:
            count += 1
            continue
        share = energy[p - places] * counts.per_typical
        more = max(gradient[p], 0.0) + counts.prior * share + 1e-6
        count += int(information[p, p] > IDLE * more)
        information[p, p] += more
        gradient[p] += counts.prior * (share - 1.0)
    return count


@fast_kernel
def scoring(equations: Equations, slopes: np.ndarray, places: int, energy: np.ndarray, mu: np.ndarray,
            counts: Counts) -> None:
    """Information and gradient of −ln L for `places` parameters of the vertex and then every ln E.

    `slopes` are the derivatives of the expectation, flat, (places + len(energy), bins). Showers that are
    IDLE have no information in common with others.
    """
    charge, weight, per_size = counts.charge, counts.weight, np.float32(1.0 / counts.size)
    n, bins = places + len(energy), len(mu)
    each, pull, one, two = np.empty_like(mu), np.empty_like(mu), np.empty_like(mu), np.empty_like(mu)
    for k in range(bins):
        each[k] = weight[k] / (mu[k] * (np.float32(1.0) + mu[k] * per_size))
        pull[k] = each[k] * (mu[k] - charge[k])
    rows, diagonal = np.empty(n, np.int64), np.empty(n)
    count = _choose_rows(equations, rows, places, energy, each, pull, slopes, counts)
    information = equations.information
    for p in range(n):
        diagonal[p] = information[p, p]
    for p in range(0, count, 2):
        other = min(p + 1, count - 1)
        _scaled(one, each, slopes, rows[p])
        _scaled(two, each, slopes, rows[other])
        _products(information, one, two, slopes, rows[:count], p, other)
    for p in range(n):
        information[p, p] = diagonal[p]


@fast_kernel
def _below(a: np.ndarray, first: int, q: int, n: int) -> None:
    """Column q of the triangle in rows `first` to n, not yet divided: what the columns before it leave."""
    p = first
    while p + 4 <= n:
        ta, tb, tc, td = a[q, p], a[q, p + 1], a[q, p + 2], a[q, p + 3]
        for k in range(q):
            other = a[q, k]
            ta -= a[p, k] * other
            tb -= a[p + 1, k] * other
            tc -= a[p + 2, k] * other
            td -= a[p + 3, k] * other
        a[p, q], a[p + 1, q], a[p + 2, q], a[p + 3, q] = ta, tb, tc, td
        p += 4
    while p < n:
        total = a[q, p]
        for k in range(q):
            total -= a[p, k] * a[q, k]
        a[p, q] = total
        p += 1


@fast_kernel
def _less(total: float, row: np.ndarray, other: np.ndarray, n: int) -> float:
    """A number less the product of the first n of two rows."""
    for k in range(n):
        total -= row[k] * other[k]
    return total


@fast_kernel
def _take(step: np.ndarray, row: np.ndarray, factor: float, n: int) -> None:
    for k in range(n):
        step[k] -= factor * row[k]


@kernel
def solve(equations: Equations, n: int, damping: float) -> float:
    """Fill in the damped step against the gradient (Cholesky); the gain in ln L that it promises.

    The information's upper half stays as it is, its lower one is used up. The triangle is made column
    by column, four rows at a time, so that sums are of vectors.
    """
    a, gradient, step = equations
    per = np.empty(n)
    for q in range(n):
        total = _less(a[q, q] * (1.0 + damping) + 1e-9, a[q], a[q], q)
        per[q] = 1.0 / np.sqrt(max(total, 1e-12))
        _below(a, q + 1, q, n)
        for p in range(q + 1, n):
            a[p, q] *= per[q]
    for p in range(n):
        step[p] = _less(-gradient[p], a[p], step, p) * per[p]
    for p in range(n - 1, -1, -1):
        step[p] *= per[p]
        _take(step, a[p], step[p], p)
    gain = 0.0
    for p in range(n):
        gain -= 0.5 * step[p] * gradient[p]
    return gain


@kernel
def shift_energies(energy: np.ndarray, start: np.ndarray, step: np.ndarray, share: float) -> None:
    """Energies after a share of a step in ln E, none of them changed by more than LONGEST_LN."""
    for j in range(len(energy)):
        change = min(max(share * step[j], -LONGEST_LN), LONGEST_LN)
        energy[j] = start[j] * np.float32(np.exp(change))
