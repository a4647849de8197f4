"""What the next set of samples from the same system would have given, by drawing from this one.

A bootstrap repeats samples, and repeated samples look like a poorer distribution: its replicates
of a distance lie above the estimate, so their quantiles are no interval. Their *spread* is right:
intervals are the estimate plus and minus 1.96 of it.

References:
    An Introduction to the Bootstrap (Efron and Tibshirani, 1993)
    A General Theory for Jackknife Variance Estimation (Shao and Wu, 1989)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from ddm_core.errors import WorkError
from ddm_core.metrics.extractors.base import Array

__all__ = ["check_cancelled", "random_halves", "resample_counts"]


def resample_counts(n: int, replicates: int, seed: Sequence[int]) -> Array:
    """How often each of n samples is drawn: [replicate, sample], rows sum to n. Not to be changed.

    Sets of one size share their rows, and there are many of them: the rows are drawn once.
    """
    return _resample_counts(n, replicates, tuple(seed))


@functools.lru_cache(maxsize=8)
def _resample_counts(n: int, replicates: int, seed: tuple[int, ...]) -> Array:
    random = np.random.default_rng(seed)
    counts = random.multinomial(n, np.full(n, 1 / n), replicates).astype(float)
    counts.setflags(write=False)
    return counts


def random_halves(n: int, replicates: int, seed: Sequence[int]) -> Array:
    """Which of n samples are in each random half: zeros and ones [replicate, sample].

    For numbers that two copies of one sample would spoil, such as a distance to the nearest
    neighbour. A half spreads around the whole as much as the whole around the truth.
    """
    rank = np.random.default_rng(seed).random((replicates, n)).argsort(axis=1)
    return (rank < n // 2).astype(float)


def check_cancelled(should_stop: Callable[[], bool]) -> None:
    """WorkError where somebody wants to stop."""
    if should_stop():
        raise WorkError("measuring was cancelled")
