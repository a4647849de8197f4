"""Intervals and tests that the audit quotes: paired over seeds, with n, effect size and method.

References:
    Better Bootstrap Confidence Intervals (Efron, 1987): BCa
    A Simple Sequentially Rejective Multiple Test Procedure (Holm, 1979)
    Statistical Power Analysis for the Behavioral Sciences (Cohen, 1988): d_z
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from ddm_core.intervals import Estimate, Z, normal_interval
from ddm_core.metrics.resampling import resample_counts
from ddm_core.ranks import rank_correlation, standard_ranks

__all__ = [
    "Array",
    "Paired",
    "difference_from_replicates",
    "holm",
    "mean",
    "paired",
    "share",
    "spearman",
]

Array = np.ndarray
REPLICATES = 2000
FLIPS = 10_000
EXACT = 12  # up to so many pairs all sign flips are looked at


class Paired(NamedTuple):
    """A difference over shared seeds.

    Arguments:
        difference: mean of one - other, with a BCa interval.
        effect_size: Cohen's d_z, the mean difference in its own standard deviations.
        p: two-sided, of a sign-flip permutation test.
    """

    difference: Estimate
    effect_size: float | None
    p: float | None


def mean(values: Array, what: str = "", seed: int = 0) -> Estimate:
    """Mean of [sample] with a BCa bootstrap interval; what is not finite is left out."""
    seen = _finite(values)
    n = len(seen)
    method = _method(what, f"mean over samples, 95% BCa bootstrap, B = {REPLICATES}")
    if n == 0:
        return Estimate(None, None, None, 0, method)
    value = float(seen.mean())
    if n < 2:
        return Estimate(value, None, None, n, method)
    if np.ptp(seen) == 0:
        return Estimate(value, value, value, n, method)
    # Numbers of one n share their resampled rows, which are drawn once.
    blocks = _blocks(REPLICATES, n)
    draws = np.concatenate(
        [resample_counts(n, block, [seed, i]) @ seen / n for i, block in enumerate(blocks)]
    )
    left = (seen.sum() - seen) / (n - 1)
    low, high = _bca(value, draws, left)
    return Estimate(value, low, high, n, method)


def _bca(value: float, draws: Array, left: Array) -> tuple[float, float]:
    """Bias-corrected and accelerated quantiles of the draws; `left`: one sample left out each."""
    below = ((draws < value).mean() + (draws <= value).mean()) / 2
    bias = norm.ppf(np.clip(below, 1 / len(draws), 1 - 1 / len(draws)))
    away = left.mean() - left
    scale = (away**2).sum() ** 1.5
    acceleration = (away**3).sum() / (6 * scale) if scale > 0 else 0.0
    z = bias + np.array([-Z, Z])
    quantiles = norm.cdf(bias + z / (1 - acceleration * z))
    low, high = np.quantile(draws, quantiles)
    return float(low), float(high)


def paired(one: Array, other: Array, what: str = "", seed: int = 0) -> Paired:
    """Mean of one - other over the samples [sample] that both have."""
    with np.errstate(invalid="ignore"):
        # Infinite growth minus infinite growth is no number, and is left out as one.
        away = _finite(np.asarray(one, float) - np.asarray(other, float))
    difference = mean(away, _method(what, "paired by seed"), seed)
    n = len(away)
    if n < 2:
        return Paired(difference, None, None)
    spread = float(away.std(ddof=1))
    if spread <= 1e-12 * float(np.abs(away).max()):
        # Every pair differs by the same, or by nothing: no spread to measure an effect in.
        return Paired(difference, None, 1.0 if not away.any() else _flip(away, seed))
    return Paired(difference, float(away.mean()) / spread, _flip(away, seed))


def _flip(away: Array, seed: int) -> float:
    """How often random signs give a mean as far from 0 as the real ones."""
    n = len(away)
    seen = abs(float(away.sum())) * (1 - 1e-12)
    if n <= EXACT:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=n)))
        return float((np.abs(signs @ away) >= seen).mean())
    random = np.random.default_rng([seed, 1])
    hits = 0
    for block in _blocks(FLIPS, n):
        signs = random.integers(0, 2, size=(block, n), dtype=np.int8) * 2.0 - 1.0
        hits += int((np.abs(signs @ away) >= seen).sum())
    return (1 + hits) / (1 + FLIPS)


def spearman(x: Array, y: Array, seed: int = 0) -> tuple[Estimate, float | None]:
    """Rank correlation of [sample] with [sample], and its two-sided permutation p."""
    x, y = np.asarray(x, float), np.asarray(y, float)
    found = rank_correlation(x, y)
    if found.value is None:
        return found, None
    both = np.isfinite(x) & np.isfinite(y)
    a, b = standard_ranks(x[both]), standard_ranks(y[both])
    random = np.random.default_rng([seed, 2])
    flips = FLIPS if found.n <= 500 else 2000
    hits = 0
    for block in _blocks(flips, found.n):
        shuffled = random.permuted(np.broadcast_to(b, (block, found.n)), axis=1)
        hits += int((np.abs(shuffled @ a) >= abs(found.value) * (1 - 1e-12)).sum())
    return found, (1 + hits) / (1 + flips)


def share(hits: Array, what: str = "") -> Estimate:
    """Mean of [sample] of zeros and ones, or of shares, with an interval."""
    return mean(np.asarray(hits, float), what)


def difference_from_replicates(
    value: float, replicates: Array, n: int, what: str = ""
) -> tuple[Estimate, float | None]:
    """A difference of two distances from its paired bootstrap replicates, and its p.

    Replicates of a distance lie too high, so that their quantiles are no interval; their spread
    is right (see `metrics.resampling`).
    """
    method = _method(what, f"95% normal interval, bootstrap standard error, B = {len(replicates)}")
    error = float(np.std(replicates, ddof=1)) if len(replicates) > 1 else math.nan
    if not math.isfinite(value) or not math.isfinite(error):
        return Estimate(value if math.isfinite(value) else None, None, None, n, method), None
    p = 2 * float(norm.sf(abs(value) / error)) if error > 0 else float(value == 0)
    return Estimate(value, *normal_interval(value, error), n, method), p


def holm(p: Mapping[str, float | None]) -> dict[str, float | None]:
    """Corrected p of every test of a family; None stays None and does not count."""
    told = sorted((value, name) for name, value in p.items() if value is not None)
    out: dict[str, float | None] = dict.fromkeys(p)
    most = 0.0
    for rank, (value, name) in enumerate(told):
        most = max(most, min(1.0, (len(told) - rank) * value))
        out[name] = most
    return out


def _finite(values: Array) -> Array:
    values = np.asarray(values, float)
    return values[np.isfinite(values)]


def _blocks(total: int, n: int) -> list[int]:
    """Row counts that keep a block below four million numbers."""
    most = max(1, 4_000_000 // max(1, n))
    return [min(most, total - start) for start in range(0, total, most)]


def _method(what: str, how: str) -> str:
    return f"{what}; {how}" if what else how
