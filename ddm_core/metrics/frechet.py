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
from functools import cached_property

import numpy as np

from ddm_core.metrics.extractors.base import Array, never
from ddm_core.metrics.fidelity import Statistics
from ddm_core.metrics.resampling import check_cancelled

__all__ = ["Frechet", "frechet_replicates"]


class Frechet:
    """Features made ready for the distances of any number of sets of them.

    Arguments:
        features: [sample, feature]
        reference: mean and covariance of the real data.
    """

    def __init__(self, features: Array, reference: Statistics) -> None:
        self._away = features.astype(np.float64) - reference.mu
        sigma = reference.sigma.astype(np.float64)
        values, vectors = np.linalg.eigh(sigma)
        # Directions without variance have no part in the product; noise around zero has no root.
        kept = values > values[-1] * len(values) * np.finfo(np.float64).eps
        self._rotated = self._away @ (vectors[:, kept] * np.sqrt(values[kept]))
        self._total = float(np.trace(sigma))
        self._squares = np.square(self._away).sum(axis=1)

    def distance(self, weight: Array) -> float:
        """The distance of a set that holds each sample so often [sample], in all at least two."""
        n = float(weight.sum())
        rank = self._rotated.shape[1]
        mean = weight @ self._away / n
        gap = float(mean @ mean)
        trace = (float(weight @ self._squares) - n * gap) / (n - 1)
        if len(weight) < rank:
            product = _dual(self._gram, weight)
        elif np.count_nonzero(weight) < rank:
            # A few of many: their own Gram matrix is smaller than that of all.
            there = np.flatnonzero(weight)
            few = self._rotated[there]
            product = _dual(few @ few.T, weight[there])
        else:
            product = _primal(self._rotated, weight)
        roots = np.sqrt(np.maximum(np.linalg.eigvalsh(product / (n - 1)), 0.0))
        return gap + trace + self._total - 2 * float(roots.sum())

    @cached_property
    def _gram(self) -> Array:
        return self._rotated @ self._rotated.T


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
    ready = Frechet(features, reference)
    out = np.empty(len(counts))
    for i, weight in enumerate(counts):
        check_cancelled(should_stop)
        out[i] = ready.distance(weight)
    return out


def _primal(rotated: Array, weight: Array) -> Array:
    """Scatter matrix of the weighted features [feature, feature]."""
    n = float(weight.sum())
    mean = weight @ rotated / n
    return (rotated.T * weight) @ rotated - n * np.outer(mean, mean)


def _dual(gram: Array, weight: Array) -> Array:
    """Gram matrix of the centred features that are there at all [sample, sample]."""
    n = float(weight.sum())
    row = gram @ weight / n
    centred = gram - row[:, None] - row + float(weight @ row) / n
    there = np.flatnonzero(weight)
    root = np.sqrt(weight[there])
    return root[:, None] * centred[np.ix_(there, there)] * root
