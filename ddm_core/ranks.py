"""Rank correlation, for whoever shall not wait for SciPy and torch to be imported."""

from __future__ import annotations

import math

import numpy as np

from ddm_core.intervals import Estimate, normal_interval

__all__ = ["rank_correlation", "standard_ranks"]


def standard_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks [sample] of values [sample], equals sharing theirs, shifted to mean 0 and length 1.

    Values that are all equal have no such ranks, and give nan.
    """
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks = (counts.cumsum() - (counts - 1) / 2)[place]
    away = ranks - ranks.mean()
    with np.errstate(invalid="ignore"):
        return away / np.linalg.norm(away)


def rank_correlation(x: np.ndarray, y: np.ndarray) -> Estimate:
    """Spearman's rho of [sample] with [sample], of the samples where both are finite.

    References:
        Sample Size Requirements for Estimating Pearson, Kendall and Spearman Correlations
            (Bonett and Wright, 2000)
    """
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    n = len(x)
    method = "Spearman's rho, 95% interval: Fisher z, standard error of Bonett and Wright (2000)"
    if n < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return Estimate(None, None, None, n, method)
    rho = float(standard_ranks(x) @ standard_ranks(y))
    error = math.sqrt((1 + rho**2 / 2) / (n - 3))
    z = math.atanh(min(max(rho, -1 + 1e-12), 1 - 1e-12))
    low, high = normal_interval(z, error)
    return Estimate(rho, math.tanh(low), math.tanh(high), n, method)
