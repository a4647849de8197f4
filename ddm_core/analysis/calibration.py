"""Does a router mean what it says? Reliability, calibration error, and the fitting temperature.

    p = softmax(logits / T),    T minimises the mean of -log p(true cluster)

which is convex in 1 / T, with the slope E_p[logit] - logit of the true cluster.

References:
    On Calibration of Modern Neural Networks (Guo et al., 2017)
    Obtaining Well Calibrated Probabilities Using Bayesian Binning (Naeini et al., 2015): ECE
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import root_scalar
from scipy.special import softmax

from ddm_core.intervals import Estimate

__all__ = [
    "Bin",
    "calibration_error",
    "fit_temperature",
    "likelihood",
    "reliability",
    "temperature_estimate",
]

Array = np.ndarray
BINS = 15
REPLICATES = 2000
COLDEST, HOTTEST = 0.02, 50.0
_GRID = 41  # temperatures at which the slope of every item is known
_REACH = 6.0  # standard errors that the grid spans on either side


class Bin(NamedTuple):
    """Answers of one confidence.

    Arguments:
        low, high: of the largest probability.
        confidence: mean of it.
        accuracy: share of right answers.
        n: number of answers.
    """

    low: float
    high: float
    confidence: float
    accuracy: float
    n: int


def reliability(p: Array, clusters: Array) -> list[Bin]:
    """Bins of equal width in the largest probability, the empty ones left out.

    Arguments:
        p: probabilities [sample, expert].
        clusters: the true ones [sample].
    """
    confidence, right = p.max(axis=1), p.argmax(axis=1) == clusters
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    n = np.bincount(place, minlength=BINS)
    sure = np.bincount(place, weights=confidence, minlength=BINS)
    hits = np.bincount(place, weights=right, minlength=BINS)
    return [
        Bin(b / BINS, (b + 1) / BINS, float(sure[b] / n[b]), float(hits[b] / n[b]), int(n[b]))
        for b in range(BINS)
        if n[b]
    ]


def calibration_error(p: Array, clusters: Array) -> float:
    """Expected calibration error: mean over answers of |confidence - accuracy| of their bin.

    Never negative, hence above 0 by chance: the more so, the fewer answers there are.
    """
    bins = reliability(p, clusters)
    total = sum(one.n for one in bins)
    return sum(one.n * abs(one.confidence - one.accuracy) for one in bins) / total


def likelihood(p: Array, clusters: Array) -> float:
    """Mean of -log p(true cluster) in nats; p [sample, expert], clusters [sample]."""
    at = p[np.arange(len(p)), clusters]
    return float(-np.log(np.maximum(at, 1e-300)).mean())


def fit_temperature(logits: Array, clusters: Array) -> float:
    """The temperature of the largest likelihood, within 0.02 to 50; 1 where all are alike.

    Arguments:
        logits: finite, [*, sample, expert].
        clusters: the true ones [sample].
    """
    z = logits.astype(np.float64)

    def slope(log_t: float) -> float:
        return float(_slopes(z, clusters, np.exp(-log_t)).mean())

    cold, hot = float(np.log(COLDEST)), float(np.log(HOTTEST))
    at_cold, at_hot = slope(cold), slope(hot)
    # The slope in 1 / T falls from cold to hot.
    if abs(at_cold - at_hot) <= 1e-12 * max(1.0, float(np.ptp(z))):
        return 1.0
    if at_cold <= 0:
        return COLDEST
    if at_hot >= 0:
        return HOTTEST
    return float(np.exp(root_scalar(slope, bracket=(cold, hot), xtol=1e-10).root))


def temperature_estimate(logits: Array, clusters: Array, seed: int = 0) -> Estimate:
    """The fitted temperature with an interval; all noise levels of an item are drawn together.

    The temperature of a bootstrap sample is where the weighted sum of its items' slopes vanishes;
    the slopes are found once, on a grid of temperatures, and interpolated.

    Arguments:
        logits: [time, sample, expert].
        clusters: [sample].
    """
    n = len(clusters)
    how = "temperature of the largest likelihood of held-out clusters"
    if not np.isfinite(logits).all():
        return Estimate(None, None, None, n, f"{how}: some logits are not finite")
    value = fit_temperature(logits, clusters)
    if not COLDEST < value < HOTTEST:
        return Estimate(value, None, None, n, f"{how}: at the end of {COLDEST:g} to {HOTTEST:g}")
    z = logits.astype(np.float64)
    error = _standard_error(z, clusters, 1 / value)
    if n < 2 or not np.isfinite(error) or error == 0:
        return Estimate(value, None, None, n, f"{how}: it has no interval")
    grid = np.log(value) + np.linspace(-_REACH, _REACH, _GRID) * error
    slopes = np.stack([_slopes(z, clusters, np.exp(-one)) for one in grid])  # [grid, sample]
    counts = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=REPLICATES)
    sums = counts @ slopes.T  # [replicate, grid], falling along the grid
    before = np.clip((sums > 0).sum(axis=1) - 1, 0, _GRID - 2)
    rows = np.arange(REPLICATES)
    left, right = sums[rows, before], sums[rows, before + 1]
    roots = grid[before] + np.clip(left / (left - right), 0, 1) * (grid[1] - grid[0])
    low, high = np.exp(np.quantile(roots, [0.025, 0.975]))
    method = f"{how}; 95% percentile bootstrap over items, B = {REPLICATES}"
    return Estimate(value, float(low), float(high), n, method)


def _slopes(z: Array, clusters: Array, inverse: float) -> Array:
    """d(-log p)/d(1/T) of each item [sample], mean over the dims in front."""
    p = softmax(z * inverse, axis=-1)
    away = (p * z).sum(axis=-1) - _own(z, clusters)
    return away.reshape(-1, len(clusters)).mean(axis=0)


def _own(z: Array, clusters: Array) -> Array:
    """The logit of the true cluster [*, sample]."""
    return z[..., np.arange(len(clusters)), clusters]


def _standard_error(z: Array, clusters: Array, inverse: float) -> float:
    """Of log T, by the sandwich of slopes and curvatures."""
    p = softmax(z * inverse, axis=-1)
    curvature = (p * z**2).sum(axis=-1) - (p * z).sum(axis=-1) ** 2
    slopes = _slopes(z, clusters, inverse)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.sqrt((slopes**2).sum()) / (curvature.mean() * len(clusters) * inverse))
