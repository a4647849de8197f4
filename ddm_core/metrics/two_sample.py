"""The unbiased two-sample statistic behind kernel and energy distances, with its standard error.

    D = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j)

Both sides are resampled. Two draws of one and the same sample count with k(x, x), as two equal
samples would.

References:
    A Kernel Two-Sample Test (Gretton et al., 2012)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from ddm_core.metrics.base import Evidence
from ddm_core.metrics.extractors.base import Array
from ddm_core.metrics.resampling import check_cancelled, resample_counts

__all__ = ["Kernel", "two_sample", "two_sample_replicates"]


class Kernel(Protocol):
    """How alike two points are; a plain function of a module."""

    __module__: str
    __qualname__: str

    def __call__(self, x: Array, y: Array) -> Array:
        """[row, feature], [column, feature] -> [row, column]."""
        ...


_BLOCK = 1000  # rows of a kernel matrix at a time


def two_sample(kernel: Kernel, evidence: Evidence) -> tuple[float, float]:
    """The statistic of generated against real features, and its bootstrap standard error."""
    value, replicates = two_sample_replicates(kernel, evidence)
    return value, float(replicates.std(ddof=1))


def two_sample_replicates(kernel: Kernel, evidence: Evidence) -> tuple[float, Array]:
    """The statistic and its bootstrap replicates [replicate], paired over sets of one n."""
    key = f"{kernel.__module__}.{kernel.__qualname__} replicates"
    return evidence.once(key, lambda: _replicates(kernel, evidence))


def _replicates(kernel: Kernel, evidence: Evidence) -> tuple[float, Array]:
    x, y = evidence.features, evidence.reference.features
    replicates, seed, stop = evidence.replicates, evidence.seed, evidence.should_stop
    # The first row is the samples as they are.
    of_x = np.vstack([np.ones(len(x)), resample_counts(len(x), replicates, [seed, 0])])
    of_y = np.vstack([np.ones(len(y)), resample_counts(len(y), replicates, [seed, 1])])
    # Mostly there are more real ones, and the same ones for every router of a comparison.
    real = evidence.reference.once(
        f"{kernel.__module__}.{kernel.__qualname__} {replicates} {seed}",
        lambda: _within(kernel, y, of_y, stop),
    )
    found = _within(kernel, x, of_x, stop) + real - 2 * _between(kernel, x, y, of_x, of_y, stop)
    return float(found[0]), found[1:]


def _within(kernel: Kernel, x: Array, counts: Array, should_stop: Callable[[], bool]) -> Array:
    """Mean over all pairs of different places, per replicate."""
    n = len(x)
    out = np.zeros(len(counts))
    for rows, block in _blocks(kernel, x, x, should_stop):
        out += np.einsum("bi,ib->b", counts[:, rows], block @ counts.T)
        # A draw makes no pair with itself.
        out -= counts[:, rows] @ np.diagonal(block[:, rows])
    return out / (n * (n - 1))


def _between(
    kernel: Kernel,
    x: Array,
    y: Array,
    of_x: Array,
    of_y: Array,
    should_stop: Callable[[], bool],
) -> Array:
    """Mean over all pairs of one of x and one of y, per replicate."""
    out = np.zeros(len(of_x))
    for rows, block in _blocks(kernel, x, y, should_stop):
        out += np.einsum("bi,ib->b", of_x[:, rows], block @ of_y.T)
    return out / (len(x) * len(y))


def _blocks(
    kernel: Kernel, x: Array, y: Array, should_stop: Callable[[], bool]
) -> Iterator[tuple[slice, Array]]:
    for start in range(0, len(x), _BLOCK):
        check_cancelled(should_stop)
        rows = slice(start, start + _BLOCK)
        yield rows, kernel(x[rows], y)
