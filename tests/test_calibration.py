"""Reliability, calibration error and fitted temperature, on answers whose truth is known."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from ddm_core.analysis.calibration import (
    COLDEST,
    HOTTEST,
    calibration_error,
    fit_temperature,
    likelihood,
    reliability,
    temperature_estimate,
)
from ddm_core.analysis.held_out import held_out
from ddm_core.analysis.router_quality import quality_document, router_quality
from ddm_core.analysis.truth import Truth, measure_truth
from ddm_core.errors import RequestError
from ddm_core.systems.analytic import ring

Array = np.ndarray


def answers(
    count: int, temperature: float, seed: int, times: int = 2, experts: int = 5
) -> tuple[Array, Array]:
    """Logits [time, sample, expert] that a true cluster is drawn from at this temperature."""
    random = np.random.default_rng(seed)
    # One true cluster for all noise levels, which are alike.
    logits = np.tile(2 * random.standard_normal((count, experts)), (times, 1, 1))
    p = softmax(logits[0] / temperature, axis=1)
    clusters = (p.cumsum(axis=1) < random.random((count, 1))).sum(axis=1)
    return logits, clusters


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_the_temperature_that_drew_the_truth_is_found(temperature: float) -> None:
    logits, clusters = answers(20_000, temperature, 0)
    assert fit_temperature(logits, clusters) == pytest.approx(temperature, rel=0.05)


def test_it_minimises_the_likelihood_that_scipy_computes() -> None:
    logits, clusters = answers(300, 2.0, 1)

    def loss(inverse: float) -> float:
        return float(-log_softmax(logits[0] * inverse, axis=1)[range(300), clusters].mean())

    best: Any = minimize_scalar(
        loss, bounds=(0.01, 5.0), method="bounded", options={"xatol": 1e-9}
    )
    fitted = fit_temperature(logits, clusters)
    assert 1 / fitted == pytest.approx(float(best.x), rel=1e-5)
    assert likelihood(softmax(logits[0] / fitted, axis=1), clusters) == pytest.approx(
        float(best.fun), abs=1e-9
    )


def test_logits_may_be_shifted_and_are_scaled() -> None:
    logits, clusters = answers(400, 1.5, 2)
    plain = fit_temperature(logits, clusters)
    assert fit_temperature(logits + 1000.0, clusters) == pytest.approx(plain, rel=1e-6)
    assert fit_temperature(3 * logits, clusters) == pytest.approx(3 * plain, rel=1e-6)


def test_the_ends_of_what_is_possible() -> None:
    logits, _ = answers(50, 1.0, 3)
    right = logits[0].argmax(axis=1)
    assert fit_temperature(logits, right) == COLDEST
    assert fit_temperature(logits, logits[0].argmin(axis=1)) == HOTTEST
    assert fit_temperature(np.zeros_like(logits), right) == 1.0
    for x, true in ((logits, right), (np.zeros_like(logits), right), (logits[:, :1], right[:1])):
        estimate = temperature_estimate(x, true)
        assert estimate.value == fit_temperature(x, true)
        assert estimate.low is None
        assert estimate.high is None
    impossible = np.where(np.arange(5) == 0, 0.0, -np.inf) + np.zeros((1, 50, 1))
    assert temperature_estimate(impossible, right).value is None


def test_the_interval_covers_as_often_as_it_says() -> None:
    """120 repetitions: 95% of them, less three standard deviations of a binomial."""
    rounds, hits = 120, 0
    for seed in range(rounds):
        found = temperature_estimate(*answers(200, 1.7, 100 + seed), seed=seed)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 1.7 <= found.high
    deviation = (0.95 * 0.05 / rounds) ** 0.5
    assert 0.95 - 3 * deviation <= hits / rounds <= min(1.0, 0.95 + 3 * deviation)


def test_noise_levels_of_one_item_are_no_new_items() -> None:
    """Ten copies of every answer make no interval narrower."""
    once, many = (temperature_estimate(*answers(300, 1.0, 5, times=n)) for n in (1, 10))
    assert many.value == pytest.approx(once.value)
    assert many.low == pytest.approx(once.low, rel=1e-6)
    assert many.high == pytest.approx(once.high, rel=1e-6)
    assert many.n == 300


def test_calibration_error_by_hand() -> None:
    """Four answers of confidence 0.9, two right; two of confidence 0.5, both right."""
    p = np.array([[0.9, 0.1]] * 4 + [[0.5, 0.5]] * 2)
    clusters = np.array([0, 0, 1, 1, 0, 0])
    bins = reliability(p, clusters)
    assert [(one.n, one.accuracy) for one in bins] == [(2, 1.0), (4, 0.5)]
    assert [one.confidence for one in bins] == pytest.approx([0.5, 0.9])
    assert all(one.low <= one.confidence <= one.high for one in bins)
    assert calibration_error(p, clusters) == pytest.approx((4 * 0.4 + 2 * 0.5) / 6)
    assert likelihood(p, clusters) == pytest.approx(
        -(2 * np.log(0.9) + 2 * np.log(0.1) + 2 * np.log(0.5)) / 6
    )


def test_certainty_falls_into_the_last_bin() -> None:
    bins = reliability(np.eye(3), np.arange(3))
    assert [(one.high, one.n, one.accuracy) for one in bins] == [(1.0, 3, 1.0)]
    assert calibration_error(np.eye(3), np.arange(3)) == 0.0
    assert likelihood(np.eye(3), np.array([1, 2, 0])) > 600


def test_the_right_temperature_calibrates() -> None:
    logits, clusters = answers(20_000, 3.0, 6)
    hot, plain = (softmax(logits[0] / t, axis=1) for t in (3.0, 1.0))
    assert calibration_error(hot, clusters) < 0.015
    assert calibration_error(plain, clusters) > 0.2


@pytest.fixture(scope="module")
def truth() -> Truth:
    system = ring()
    return measure_truth(system, held_out(system, 1500), (0.05, 0.35, 0.65, 0.95), device="cpu")


def test_the_exact_posterior_is_calibrated(truth: Truth) -> None:
    found = router_quality(truth, "exact")
    assert found.temperature.low is not None
    assert found.temperature.high is not None
    assert found.temperature.low <= 1.0 <= found.temperature.high
    assert found.ece_all < 0.02
    assert found.nll_fitted <= found.nll
    assert found.n == 1500
    accuracy = [one.value for one in found.accuracy]
    # Six clusters, far apart: known for certain near the data, hardly at all near the noise.
    assert accuracy[0] == 1.0
    assert accuracy == sorted(accuracy, reverse=True)  # type: ignore[type-var]
    entropy = [one.value or 0.0 for one in found.entropy]
    assert entropy == sorted(entropy)
    assert entropy[-1] <= np.log(6)
    assert sum(one.n for one in found.reliability) == 4 * 1500
    assert found.chance == pytest.approx(np.bincount(truth.clusters).max() / 1500)


def test_a_softened_posterior_asks_for_its_inverse(truth: Truth) -> None:
    plain = router_quality(truth, "exact").temperature.value
    assert plain is not None
    soft = {"exact": truth.logits["exact"] / 4}
    found = router_quality(truth._replace(logits=soft), "exact")
    assert found.temperature.value == pytest.approx(plain / 4, rel=1e-4)
    assert found.ece_all > 0.05 > found.ece_fitted


def test_the_document_holds_it_all(truth: Truth) -> None:
    document = quality_document(truth, "exact")
    assert document is not None
    read = json.loads(json.dumps(document, allow_nan=False))
    assert read["times"] == [0.05, 0.35, 0.65, 0.95]
    assert {"name", "accuracy", "ece", "entropy", "chance", "reliability", "ece_all"} <= set(read)
    assert {"temperature", "nll", "nll_fitted"} <= set(read)
    assert len(read["accuracy"]) == len(read["ece"]) == len(read["entropy"]) == 4
    assert quality_document(truth, "learned") is None
    with pytest.raises(RequestError, match="no recorded router 'learned'; there are: exact"):
        router_quality(truth, "learned")
