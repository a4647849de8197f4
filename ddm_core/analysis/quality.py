"""Quality of single samples and of groups of them.

References:
    Improved Precision and Recall Metric for Assessing Generative Models
        (Kynkaanniemi et al., 2019)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist

from ddm_core.analysis import statistics
from ddm_core.errors import RequestError
from ddm_core.intervals import Estimate
from ddm_core.metrics import METRICS, Reference
from ddm_core.metrics.base import Evidence

__all__ = ["Bucket", "buckets", "per_sample_distance"]

Array = np.ndarray
NEIGHBOURS = 5
_BLOCK = 500
_REPLICATES = 100


class Bucket(NamedTuple):
    """Samples of about one disagreement.

    Arguments:
        low, high: of the disagreement in it.
        n: samples, the same in every bucket.
        quality: of the metric, at this n.
        distance: mean distance to the nearest real neighbours.
        rows: which samples [n].
    """

    low: float
    high: float
    n: int
    quality: Estimate
    distance: Estimate
    rows: Array


def per_sample_distance(features: Array, real: Array, k: int = NEIGHBOURS) -> Array:
    """Mean distance of samples [sample, feature] to their k nearest real ones [real, feature]."""
    k = min(k, len(real))
    out = np.empty(len(features))
    for start in range(0, len(features), _BLOCK):
        block = cdist(features[start : start + _BLOCK], real)
        out[start : start + _BLOCK] = np.partition(block, k - 1, axis=1)[:, :k].mean(axis=1)
    return out


def buckets(
    disagreement: Array,
    features: Array,
    reference: Reference,
    *,
    count: int = 4,
    metric: str = "fid",
    seed: int = 0,
) -> list[Bucket]:
    """Quantile buckets of equal n, lowest disagreement first.

    Of a number that does not divide, the rest is left out at random: a Frechet distance depends on
    n, so that no bucket may be larger.

    Raises:
        RequestError: fewer than two samples per bucket.
    """
    n = len(disagreement)
    size = n // count
    if size < 2:
        raise RequestError(f"{n} samples make no {count} buckets of at least two")
    kept = np.sort(np.random.default_rng(seed).permutation(n)[: size * count])
    order = kept[np.argsort(disagreement[kept], kind="stable")]
    away = per_sample_distance(features, reference.features)
    out: list[Bucket] = []
    for rows in order.reshape(count, size):
        evidence = Evidence(features[rows], reference, replicates=_REPLICATES)
        found = METRICS.parse(metric).measure(evidence)
        out.append(
            Bucket(
                float(disagreement[rows].min()),
                float(disagreement[rows].max()),
                size,
                Estimate(*found[:4], found.method),
                statistics.mean(away[rows], "distance to the 5 nearest real neighbours"),
                rows,
            )
        )
    return out
