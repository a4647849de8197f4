"""The Frechet distance that infinitely many samples would have, by regression on 1/n.

FD(n) lies above FD by about c/n, with a c that depends on the model: equal n does not make two
models' bias equal. A line through the distances of sub-samples of sizes m, over 1/m, meets 1/m = 0
where the bias is gone.

The sub-samples of a size are blocks of one random order of the samples, evenly spaced around it:
every sample counts about as often as any other, and the line is far steadier than through single
random sub-samples. The smallest holds half of the samples, since the bias is straight in 1/n only
where n is well above the number of features.

References:
    Effectively Unbiased FID and Inception Score and Where to Find Them (Chong and Forsyth, 2020)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddm_core.errors import RequestError
from ddm_core.intervals import normal_interval
from ddm_core.metrics.base import METRICS, Evidence, Measured, Metric
from ddm_core.metrics.extractors.base import Array
from ddm_core.metrics.frechet import Frechet
from ddm_core.metrics.resampling import check_cancelled, resample_counts
from ddm_core.registry import setting

__all__ = ["FdInfinity", "Line", "bias_line"]

FEWEST = 8  # samples, of which a line is drawn


class Line(NamedTuple):
    """Distances over sizes, and the line through them.

    Arguments:
        sizes: of the sub-samples [point], falling from all samples.
        distances: mean over the blocks of a size [point].
        limit: where the line meets 1/n = 0.
        slope: per 1/n: the bias at n is about slope / n.
    """

    sizes: Array
    distances: Array
    limit: float
    slope: float


@METRICS.register
@dataclass(frozen=True)
class FdInfinity(Metric):
    """The Frechet distance at n = infinity, extrapolated; it may fall below 0.

    Unlike FID it may be compared over different n, as far as n is well above the number of
    features: with fewer samples the bias bends, and the line ends too low.
    """

    name: ClassVar[str] = "fd_infinity"
    title: ClassVar[str] = "FD-infinity"
    better: ClassVar[Literal["lower", "higher"]] = "lower"

    points: int = setting(5, "sizes of sub-samples, evenly spaced in 1/n", low=2, high=50)
    smallest: float = setting(0.5, "share of the samples in the smallest", low=0.05, high=0.9)
    blocks: int = setting(4, "sub-samples of each size but the full one", low=1, high=100)

    @property
    def fewest(self) -> int:
        return FEWEST

    def measure(self, evidence: Evidence) -> Measured:
        line, replicates = self.replicates(evidence)
        low, high = normal_interval(line.limit, float(replicates.std(ddof=1)))
        sizes = f"{self.points} sizes from {line.sizes[-1]:.0f} to {line.sizes[0]:.0f}"
        return Measured(
            line.limit,
            low,
            high,
            evidence.n,
            evidence.protocol(f"{self.title} (Frechet distance regressed on 1/n, {sizes})"),
            evidence.reference.extractor,
            f"normal interval, bootstrap standard error of the limit, B = {evidence.replicates}",
        )

    def replicates(self, evidence: Evidence) -> tuple[Line, Array]:
        """The line and the limits [replicate] of resampled sets.

        Resampled by the same rows as FID: sets of one n and seed are paired.

        Raises:
            RequestError: too few samples for a line.
            WorkError: cancelled.
        """
        if evidence.n < FEWEST:
            raise RequestError(
                f"{self.title} needs at least {FEWEST} samples to extrapolate, not {evidence.n}"
            )
        return evidence.once(f"fd_infinity {self}", lambda: self._replicates(evidence))

    def _replicates(self, evidence: Evidence) -> tuple[Line, Array]:
        ready = Frechet(evidence.features, evidence.reference.statistics)
        random = np.random.default_rng([evidence.seed, 3])
        check_cancelled(evidence.should_stop)

        def line_through(order: NDArray[np.integer]) -> Line:
            return bias_line(ready, order, self.points, self.smallest, self.blocks)

        line = line_through(random.permutation(evidence.n))
        limits = np.empty(evidence.replicates)
        counts = resample_counts(evidence.n, evidence.replicates, [evidence.seed])
        for i, weight in enumerate(counts):
            check_cancelled(evidence.should_stop)
            drawn = np.repeat(np.arange(evidence.n), weight.astype(int))
            limits[i] = line_through(random.permutation(drawn)).limit
        return line, limits


def bias_line(
    ready: Frechet, order: NDArray[np.integer], points: int, smallest: float, blocks: int
) -> Line:
    """The line through the distances of blocks of an order.

    Arguments:
        order: which sample stands where [place]; one that was drawn twice stands there twice.
        points, smallest, blocks: as the metric's settings.
    """
    n = len(order)
    stretch = np.linspace(1.0, 1 / smallest, points)
    sizes = np.maximum(2, np.round(n / stretch))
    distances = np.empty(points)
    for i, size in enumerate(sizes.astype(int)):
        count = 1 if size == n else blocks
        starts = (np.arange(count) * n) // count
        places = (starts[:, None] + np.arange(size)) % n
        distances[i] = np.mean(
            [ready.distance(np.bincount(order[at], minlength=n).astype(float)) for at in places]
        )
    slope, limit = np.polyfit(1 / sizes, distances, 1)
    return Line(sizes, distances, float(limit), float(slope))
