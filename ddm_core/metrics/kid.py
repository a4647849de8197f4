"""Kernel distance between generated and real features; unbiased, so it may fall below 0.

References:
    Demystifying MMD GANs (Binkowski et al., 2018)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from ddm_core.intervals import normal_interval
from ddm_core.metrics.base import METRICS, Evidence, Measured, Metric
from ddm_core.metrics.extractors.base import Array
from ddm_core.metrics.fidelity import kernel_distance
from ddm_core.metrics.two_sample import two_sample
from ddm_core.registry import setting

__all__ = ["Kid", "cubic"]

#: torch-fidelity's default, so that its own command gives the same number.
_SEED = 2020


def cubic(x: Array, y: Array) -> Array:
    """(x . y / feature + 1)^3: [row, feature], [column, feature] -> [row, column]."""
    base = x.astype(np.float64) @ y.astype(np.float64).T / x.shape[1] + 1
    # Multiplied out: a power of floats takes ten times as long.
    return base * base * base


@METRICS.register
@dataclass(frozen=True)
class Kid(Metric):
    """Mean over random subsets of the unbiased squared MMD with a cubic kernel."""

    name: ClassVar[str] = "kid"
    title: ClassVar[str] = "KID"
    better: ClassVar[Literal["lower", "higher"]] = "lower"

    subsets: int = setting(100, "number of random subsets", low=1)
    subset_size: int = setting(1000, "samples per subset, or all where there are fewer", low=2)

    def measure(self, evidence: Evidence) -> Measured:
        real = evidence.reference.features
        size = min(self.subset_size, evidence.n, len(real))
        value, spread = kernel_distance(
            evidence.features.astype(real.dtype),
            real,
            subsets=self.subsets,
            subset_size=size,
            seed=_SEED,
        )
        _, error = two_sample(cubic, evidence)
        # The estimate is a mean over random subsets, which adds a little of its own.
        low, high = normal_interval(value, math.hypot(error, spread / math.sqrt(self.subsets)))
        return Measured(
            value,
            low,
            high,
            evidence.n,
            evidence.protocol(
                f"KID (cubic kernel, {self.subsets} subsets of {size}, seed {_SEED})", len(real)
            ),
            evidence.reference.extractor,
            "normal interval, bootstrap standard error of both sides and of the subsets, "
            f"B = {evidence.replicates}",
        )
