"""FD-infinity: nearer to the truth than FID at the same n, by the formula, with an interval."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from feature_sets import Array, normal, real

from ddm_core.errors import RequestError
from ddm_core.metrics import Evidence, Reference, measure_evidence
from ddm_core.metrics.fd_infinity import FdInfinity
from ddm_core.metrics.fidelity import feature_statistics, frechet_distance

SHIFT, STRETCH = 0.3, 1.1


def standard(dims: int) -> Reference:
    """A reference whose moments are exactly those of the standard normal distribution."""
    of_some = real(normal(10, dims, 0))
    return dataclasses.replace(of_some, n=10**6, mu=np.zeros(dims), sigma=np.eye(dims))


def truth(dims: int) -> float:
    """Frechet distance of N(0, 1) and N(SHIFT, STRETCH^2), the same along every axis."""
    return dims * (SHIFT**2 + (STRETCH - 1) ** 2)


def samples(n: int, dims: int, seed: int) -> Array:
    return SHIFT + STRETCH * normal(n, dims, seed)


@pytest.mark.parametrize(("n", "dims"), [(300, 24), (1500, 64)])
def test_it_is_much_nearer_to_the_truth_than_fid(n: int, dims: int) -> None:
    found = [
        measure_evidence(
            ["fid", "fd_infinity"], Evidence(samples(n, dims, seed), standard(dims), replicates=2)
        )
        for seed in range(4)
    ]
    bias = {
        name: np.mean([one[name].value for one in found]) - truth(dims)
        for name in ("fid", "fd_infinity")
    }
    assert bias["fid"] > 0.05 * truth(dims)
    assert abs(bias["fd_infinity"]) < 0.25 * bias["fid"]


def test_it_is_the_regression_that_it_says() -> None:
    """By torch-fidelity's distance of plainly listed sub-samples, and a fitted line."""
    n, dims = 60, 3
    features, reference = samples(n, dims, 1), real(normal(300, dims, 2))
    metric = FdInfinity(points=3, smallest=0.5, blocks=2)
    found = metric.measure(Evidence(features, reference, replicates=2))
    order = np.random.default_rng([0, 3]).permutation(n)
    points: list[tuple[float, float]] = []
    for size, starts in ((60, (0,)), (40, (0, 30)), (30, (0, 30))):
        blocks = [features[np.roll(order, -start)[:size]] for start in starts]
        distances = [
            frechet_distance(feature_statistics(one), reference.statistics) for one in blocks
        ]
        points.append((1 / size, float(np.mean(distances))))
    x, y = np.array(points).T
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    assert found.value == pytest.approx(y.mean() - slope * x.mean(), rel=1e-6)
    assert "3 sizes from 30 to 60" in found.protocol


def test_fewer_samples_than_features_take_the_small_form() -> None:
    """The Gram matrix of the samples in place of the covariance; the same number."""
    n, dims = 24, 40
    features, reference = samples(n, dims, 1), real(normal(200, dims, 2))
    line, _ = FdInfinity(points=2, blocks=1).replicates(Evidence(features, reference, 2))
    order = np.random.default_rng([0, 3]).permutation(n)
    for size, distance in zip((24, 12), line.distances, strict=True):
        some = feature_statistics(features[order[:size]])
        assert distance == pytest.approx(frechet_distance(some, reference.statistics), rel=1e-6)


def test_the_interval_covers_the_truth() -> None:
    dims, trials = 4, 80
    reference = standard(dims)
    found = [
        measure_evidence(
            ["fd_infinity"],
            Evidence(samples(120, dims, seed), reference, replicates=30, seed=seed),
        )["fd_infinity"]
        for seed in range(1, trials + 1)
    ]
    # A standard deviation of the share is 2.4 points.
    assert np.mean([one.low <= truth(dims) <= one.high for one in found]) >= 0.88
    spread = np.std([one.value for one in found])
    errors = [(one.high - one.low) / (2 * 1.96) for one in found]
    assert np.mean(errors) == pytest.approx(spread, rel=0.25)


def test_it_may_be_compared_over_different_n() -> None:
    """FID falls with n by its bias; the limit stays."""
    few, many = (
        measure_evidence(
            ["fid", "fd_infinity"], Evidence(samples(n, 16, 3), standard(16), replicates=50)
        )
        for n in (250, 2000)
    )
    assert few["fid"].value > many["fid"].high
    assert few["fd_infinity"].low < many["fd_infinity"].value < few["fd_infinity"].high


def test_too_few_samples_are_told_in_a_sentence() -> None:
    with pytest.raises(RequestError, match="at least 8 samples to extrapolate, not 7"):
        FdInfinity().measure(Evidence(samples(7, 2, 0), standard(2)))
