"""The Frechet distance of many resampled sets at once, exactly.

tr (S_1 S_2)^(1/2) is the sum of the square roots of the eigenvalues of L^T S_1 L with S_2 = L L^T.
L is found once for the reference. With fewer samples than features the same eigenvalues (the
squared singular values of the centred, rotated features) come from the smaller Gram matrix.

References:
    GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium
        (Heusel et al., 2017)
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ddm_core.metrics.extractors.base import Array, never
from ddm_core.metrics.fidelity import Statistics
from ddm_core.metrics.intervals import check_cancelled

__all__ = ["frechet_replicates"]


def frechet_replicates(
    features: Array,
    reference: Statistics,
    counts: Array,
    should_stop: Callable[[], bool] = never,
) -> Array:
    """The Frechet distance [replicate] of each weighted set.

    Arguments:
        features: [sample, feature]
        reference: mean and covariance of the real data.
        counts: how often each sample is in each set [replicate, sample]; a row of ones gives the
            distance of the samples themselves.
        should_stop: asked before every set.
    """
    away = features.astype(np.float64) - reference.mu
    sigma = reference.sigma.astype(np.float64)
    values, vectors = np.linalg.eigh(sigma)
    # Directions without variance have no part in the product; noise around zero has no root.
    kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
    rotated = away @ (vectors[:, kept] * np.sqrt(values[kept]))
    total = float(np.trace(sigma))
    squares = np.square(away).sum(axis=1)
    n, rank = rotated.shape
    gram = rotated @ rotated.T if n < rank else None
    out = np.empty(len(counts))
    for i, weight in enumerate(counts):
        check_cancelled(should_stop)
        mean = weight @ away / n
        gap = float(mean @ mean)
        trace = (float(weight @ squares) - n * gap) / (n - 1)
        product = _primal(rotated, weight) if gram is None else _dual(gram, weight)
        roots = np.sqrt(np.maximum(np.linalg.eigvalsh(product / (n - 1)), 0.0))
        out[i] = gap + trace + total - 2 * float(roots.sum())
    return out


def _primal(rotated: Array, weight: Array) -> Array:
    """Scatter matrix of the weighted features [feature, feature]."""
    mean = weight @ rotated / len(weight)
    return (rotated.T * weight) @ rotated - len(weight) * np.outer(mean, mean)


def _dual(gram: Array, weight: Array) -> Array:
    """Gram matrix of the centred features that are there at all [sample, sample]."""
    n = len(weight)
    row = gram @ weight / n
    centred = gram - row[:, None] - row + float(weight @ row) / n
    there = np.flatnonzero(weight)
    root = np.sqrt(weight[there])
    return root[:, None] * centred[np.ix_(there, there)] * root
