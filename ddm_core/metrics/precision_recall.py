"""Precision (are samples like real ones?) and recall (is all that is real among the samples?).

A ball around each point reaches to its k-th nearest neighbour of the same set; a point of the
other set is covered where it lies in any ball.

References:
    Improved Precision and Recall Metric for Assessing Generative Models
        (Kynkaanniemi et al., 2019)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from ddm_core.errors import RequestError
from ddm_core.intervals import normal_interval, wilson_interval
from ddm_core.metrics.base import METRICS, Evidence, Measured, Metric
from ddm_core.metrics.extractors.base import Array, never
from ddm_core.metrics.fidelity import precision_recall
from ddm_core.metrics.resampling import check_cancelled, random_halves
from ddm_core.registry import setting

__all__ = ["Precision", "Recall", "recall_replicates"]

_BLOCK = 1000  # rows of a distance matrix at a time


@METRICS.register
@dataclass(frozen=True)
class Precision(Metric):
    """Share of the generated samples that lie among the real ones."""

    name: ClassVar[str] = "precision"
    title: ClassVar[str] = "precision"
    better: ClassVar[Literal["lower", "higher"]] = "higher"

    neighbours: int = setting(3, "k of the k-th nearest neighbour", low=1)
    most: int = setting(10_000, "real samples at most, of those that the reference keeps", low=2)

    @property
    def fewest(self) -> int:
        return self.neighbours + 1

    def measure(self, evidence: Evidence) -> Measured:
        real = _real(evidence, self.most)
        value, _ = _both(evidence, real, self.neighbours)
        # The balls stay as they are: whether a sample lies in one is a coin of its own.
        low, high = map(float, wilson_interval(value, evidence.n))
        return Measured(
            value,
            low,
            high,
            evidence.n,
            evidence.protocol(f"precision (k = {self.neighbours} neighbours)", len(real)),
            evidence.reference.extractor,
            "Wilson interval",
        )


@METRICS.register
@dataclass(frozen=True)
class Recall(Metric):
    """Share of the real samples that lie among the generated ones; grows with n."""

    name: ClassVar[str] = "recall"
    title: ClassVar[str] = "recall"
    better: ClassVar[Literal["lower", "higher"]] = "higher"

    neighbours: int = setting(3, "k of the k-th nearest neighbour", low=1)
    most: int = setting(10_000, "real samples at most, of those that the reference keeps", low=2)

    @property
    def fewest(self) -> int:
        return self.neighbours + 1

    def measure(self, evidence: Evidence) -> Measured:
        real = _real(evidence, self.most)
        _, value = _both(evidence, real, self.neighbours)
        halves = random_halves(evidence.n, evidence.replicates, [evidence.seed])
        parts = recall_replicates(
            evidence.features, real, self.neighbours, halves, evidence.should_stop
        )
        error = float(parts.std(ddof=1))
        low, high = normal_interval(value, error, least=0.0, most=1.0)
        return Measured(
            value,
            low,
            high,
            evidence.n,
            evidence.protocol(f"recall (k = {self.neighbours} neighbours)", len(real)),
            evidence.reference.extractor,
            f"normal interval, standard error of {evidence.replicates} random halves",
        )


def _real(evidence: Evidence, most: int) -> Array:
    """The real features, or as many of them as wished, chosen by the seed."""
    real = evidence.reference.features
    if len(real) <= most:
        return real
    rows = np.random.default_rng(evidence.seed).choice(len(real), most, replace=False)
    return real[np.sort(rows)]


def _both(evidence: Evidence, real: Array, k: int) -> tuple[float, float]:
    for side, n in (("samples", evidence.n), ("real samples", len(real))):
        if n <= k:
            raise RequestError(f"the {k}-th nearest neighbour needs more than {k} {side}, not {n}")
    check_cancelled(evidence.should_stop)
    return evidence.once(
        f"precision and recall {k} {len(real)}",
        lambda: precision_recall(evidence.features.astype(real.dtype), real, neighbours=k),
    )


def recall_replicates(
    x: Array,
    real: Array,
    k: int,
    masks: Array,
    should_stop: Callable[[], bool] = never,
) -> Array:
    """Recall [replicate] of parts of the samples against the same real ones.

    Arguments:
        x: [sample, feature]
        real: [real, feature]
        k: whose neighbour ends a ball.
        masks: which samples are in each part, zeros and ones [replicate, sample].
        should_stop: asked now and then.
    """
    # In a half the k-th neighbour is almost surely among the first few of the whole set.
    reach = min(len(x), 8 * (k + 1))
    order, radii = _neighbours(x, reach, should_stop)
    row, column, gap = _near(real, x, radii[:, -1], should_stop)
    out = np.empty(len(masks))
    for i, there in enumerate(masks):
        check_cancelled(should_stop)
        # The nearest of all is the point itself: the library counts it, and then k others.
        passed = there[order].cumsum(axis=1) > k
        kth = np.where(passed.any(axis=1), passed.argmax(axis=1), reach - 1)
        radius = np.where(there > 0, radii[np.arange(len(x)), kth], -1.0)
        covered = np.zeros(len(real), dtype=bool)
        covered[row[gap <= radius[column]]] = True
        out[i] = covered.mean()
    return out


def _neighbours(
    x: Array, reach: int, should_stop: Callable[[], bool]
) -> tuple[NDArray[np.intp], Array]:
    """The nearest points of each point, nearest first, and how far: both [sample, reach]."""
    order = np.empty((len(x), reach), dtype=np.intp)
    radii = np.empty((len(x), reach))
    for start in range(0, len(x), _BLOCK):
        check_cancelled(should_stop)
        rows = slice(start, start + _BLOCK)
        away = cdist(x[rows], x)
        near = np.argpartition(away, reach - 1, axis=1)[:, :reach]
        distance = np.take_along_axis(away, near, axis=1)
        rank = np.argsort(distance, axis=1, kind="stable")
        order[rows] = np.take_along_axis(near, rank, axis=1)
        radii[rows] = np.take_along_axis(distance, rank, axis=1)
    return order, radii


def _near(
    real: Array, x: Array, radii: Array, should_stop: Callable[[], bool]
) -> tuple[NDArray[np.intp], NDArray[np.intp], Array]:
    """All pairs of a real point and a sample whose ball reaches it: row, column, distance."""
    parts: list[tuple[NDArray[np.intp], NDArray[np.intp], Array]] = []
    for start in range(0, len(real), _BLOCK):
        check_cancelled(should_stop)
        away = cdist(real[start : start + _BLOCK], x)
        row, column = np.nonzero(away <= radii)
        parts.append((row + start, column, away[row, column]))
    row, column, gap = (np.concatenate(part) for part in zip(*parts, strict=True))
    return row, column, gap
