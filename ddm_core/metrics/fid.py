"""Frechet distance between generated and real features, alone and between two routers.

References:
    GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium
        (Heusel et al., 2017)
    Effectively Unbiased FID and Inception Score and Where to Find Them (Chong and Forsyth, 2020)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from ddm_core.errors import RequestError
from ddm_core.intervals import normal_interval
from ddm_core.metrics.base import METRICS, Evidence, Measured, Metric
from ddm_core.metrics.extractors.base import Array
from ddm_core.metrics.fidelity import feature_statistics, frechet_distance
from ddm_core.metrics.frechet import frechet_replicates
from ddm_core.metrics.resampling import resample_counts

__all__ = ["Fid", "fid_replicates", "paired_difference"]


@METRICS.register
@dataclass(frozen=True)
class Fid(Metric):
    """|mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2)); biased upwards by about 1/n.

    The interval is for the expected distance *at this n*: never compare two numbers of other n.
    """

    name: ClassVar[str] = "fid"
    title: ClassVar[str] = "FID"
    better: ClassVar[Literal["lower", "higher"]] = "lower"

    def measure(self, evidence: Evidence) -> Measured:
        value = _distance(evidence)
        error = float(_replicates(evidence).std(ddof=1))
        low, high = normal_interval(value, error, least=0.0)
        return Measured(
            value,
            low,
            high,
            evidence.n,
            evidence.protocol(self.title),
            evidence.reference.extractor,
            f"normal interval, bootstrap standard error, B = {evidence.replicates}",
        )


def paired_difference(one: Evidence, other: Evidence) -> Measured:
    """FID of `one` minus FID of `other`, for samples that share their seeds row by row.

    Both sets are resampled with the same rows, so that what the shared noise does to both does not
    widen the interval. Where it excludes 0, the two really differ at this n.

    Raises:
        RequestError: other numbers of samples, or other references.
    """
    if one.n != other.n:
        raise RequestError(f"a paired difference needs equal sets, not {one.n} and {other.n}")
    if one.reference.content != other.reference.content:
        raise RequestError("a paired difference needs one reference for both sets")
    if (one.replicates, one.seed) != (other.replicates, other.seed):
        raise RequestError("a paired difference needs the same resampling of both sets")
    value = _distance(one) - _distance(other)
    error = float((_replicates(one) - _replicates(other)).std(ddof=1))
    low, high = normal_interval(value, error)
    return Measured(
        value,
        low,
        high,
        one.n,
        one.protocol("difference of two FIDs, each"),
        one.reference.extractor,
        f"normal interval, standard error of a bootstrap over shared seeds, B = {one.replicates}",
    )


def fid_replicates(evidence: Evidence) -> tuple[float, Array]:
    """The distance and its bootstrap replicates [replicate].

    Sets of one n, seed and number of replicates are resampled by the same rows: the difference of
    two sets' replicates is that of a paired bootstrap. Their spread is to be used, not their
    quantiles (see `intervals`).
    """
    return _distance(evidence), _replicates(evidence)


def _distance(evidence: Evidence) -> float:
    return evidence.once(
        "fid",
        lambda: frechet_distance(
            feature_statistics(evidence.features), evidence.reference.statistics
        ),
    )


def _replicates(evidence: Evidence) -> Array:
    return evidence.once(
        "fid replicates",
        lambda: frechet_replicates(
            evidence.features,
            evidence.reference.statistics,
            resample_counts(evidence.n, evidence.replicates, [evidence.seed]),
            evidence.should_stop,
        ),
    )
