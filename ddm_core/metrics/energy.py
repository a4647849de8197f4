"""Energy distance between points and exact draws, for systems in the plane.

References:
    Energy Statistics: A Class of Statistics Based on Distances (Szekely and Rizzo, 2013)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from scipy.spatial.distance import cdist

from ddm_core.intervals import normal_interval
from ddm_core.metrics.base import METRICS, Evidence, Measured, Metric
from ddm_core.metrics.extractors.base import Array
from ddm_core.metrics.two_sample import two_sample

__all__ = ["EnergyDistance", "nearness"]


def nearness(x: Array, y: Array) -> Array:
    """-|x - y|: [row, feature], [column, feature] -> [row, column]."""
    return -cdist(x, y)


@METRICS.register
@dataclass(frozen=True)
class EnergyDistance(Metric):
    """2 E|X - Y| - E|X - X'| - E|Y - Y'|, unbiased; 0 where the two distributions are one."""

    name: ClassVar[str] = "energy_distance"
    title: ClassVar[str] = "energy distance"
    better: ClassVar[Literal["lower", "higher"]] = "lower"

    def measure(self, evidence: Evidence) -> Measured:
        real = evidence.reference.features
        value, error = two_sample(nearness, evidence)
        # The distance is never below 0; its unbiased estimate is, half the time, where it is 0.
        low, high = normal_interval(value, error)
        return Measured(
            value,
            low,
            high,
            evidence.n,
            evidence.protocol("energy distance (unbiased U-statistic)", len(real)),
            evidence.reference.extractor,
            f"normal interval, bootstrap standard error of both sides, B = {evidence.replicates}",
        )
