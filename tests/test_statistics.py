"""Intervals cover as often as they say, and a true null is rejected about as often as allowed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from ddm_core.analysis import statistics

TRIALS = 400
#: Four standard deviations of a share of 400 trials at 5%: 4.4 percentage points. What is wrong by
#: a factor of two in its spread covers 67% and falls far outside.
SLACK = 4 * math.sqrt(0.05 * 0.95 / TRIALS)


def covered(low: float | None, high: float | None, truth: float) -> bool:
    assert low is not None
    assert high is not None
    return low <= truth <= high


@pytest.mark.parametrize(
    ("draw", "truth"),
    [
        (lambda random, n: random.normal(size=n), 0.0),
        (lambda random, n: random.exponential(size=n), 1.0),  # skewed: where BCa earns its name
        (lambda random, n: random.random(n) < 0.3, 0.3),
    ],
    ids=["normal", "exponential", "shares"],
)
def test_the_mean_is_covered_at_the_nominal_rate(draw, truth: float) -> None:
    random = np.random.default_rng(0)
    hits = 0
    for _ in range(TRIALS):
        one = statistics.mean(draw(random, 80).astype(float))
        hits += covered(one.low, one.high, truth)
    # A bootstrap of 80 samples falls a little short; by how much, theory says: about 1/n.
    assert 0.95 - SLACK - 0.01 <= hits / TRIALS <= 0.95 + SLACK


def test_bca_is_scipy_s() -> None:
    values = np.random.default_rng(1).exponential(size=60)
    mine = statistics.mean(values)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(2)
    ).confidence_interval
    # Both are random: 2,000 replicates place a quantile within a few percent of the width.
    width = theirs.high - theirs.low
    assert mine.low == pytest.approx(theirs.low, abs=0.06 * width)
    assert mine.high == pytest.approx(theirs.high, abs=0.06 * width)


def test_a_true_null_is_rejected_at_five_percent_and_an_effect_is_seen() -> None:
    random = np.random.default_rng(3)
    null = seen = 0
    for trial in range(TRIALS // 2):
        shared = random.normal(size=11)
        one, other = (shared + random.normal(size=11) for _ in range(2))
        p = statistics.paired(one, other, seed=trial).p
        shifted = statistics.paired(one + 2.5, other, seed=trial).p
        assert p is not None
        assert shifted is not None
        null += p < 0.05
        seen += shifted < 0.05
    assert abs(null / (TRIALS // 2) - 0.05) < SLACK * math.sqrt(2)
    assert seen / (TRIALS // 2) > 0.95


def test_the_sign_flip_is_exact_for_few_pairs() -> None:
    """Five differences of one sign: 2 of 32 sign patterns are as extreme."""
    found = statistics.paired(np.array([1.0, 2.0, 3.0, 4.0, 5.0]), np.zeros(5))
    assert found.p == 2 / 32
    assert found.effect_size == pytest.approx(3 / math.sqrt(2.5))
    assert found.difference.value == 3.0


def test_spearman_of_ties_and_of_what_was_not_measured_is_that_of_scipy() -> None:
    random = np.random.default_rng(4)
    x, y = random.integers(0, 5, (2, 60)).astype(float)
    y[:20] += x[:20]
    x[3], y[7], y[8] = math.nan, math.nan, math.inf
    both = np.isfinite(x) & np.isfinite(y)
    found, _ = statistics.spearman(x, y)
    assert found.value == pytest.approx(stats.spearmanr(x[both], y[both]).statistic, abs=1e-12)
    assert found.n == 57


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_spearman_is_covered_at_the_nominal_rate(rho: float) -> None:
    random = np.random.default_rng(4)
    truth = 6 / math.pi * math.asin(rho / 2)  # of a bivariate normal distribution
    hits = rejected = 0
    trials = 200
    for trial in range(trials):
        x = random.normal(size=60)
        y = rho * x + math.sqrt(1 - rho**2) * random.normal(size=60)
        one, p = statistics.spearman(x, y, seed=trial)
        assert one.value == pytest.approx(stats.spearmanr(x, y).statistic)
        assert p is not None
        hits += covered(one.low, one.high, truth)
        rejected += p < 0.05
    slack = SLACK * math.sqrt(TRIALS / trials)
    assert abs(hits / trials - 0.95) < slack
    if rho == 0:
        assert abs(rejected / trials - 0.05) < slack
    else:
        assert rejected / trials > 0.95


def test_holm_by_hand() -> None:
    """0.01 x 4, 0.02 x 3, 0.03 x 2, 0.5 x 1, each at least as large as the one before."""
    found = statistics.holm({"a": 0.02, "b": 0.01, "none": None, "c": 0.03, "d": 0.5})
    assert found == pytest.approx({"a": 0.06, "b": 0.04, "none": None, "c": 0.06, "d": 0.5})
    assert statistics.holm({"x": 0.9, "y": 0.8}) == {"x": 1.0, "y": 1.0}
    assert statistics.holm({}) == {}


def test_a_difference_of_distances_uses_the_spread_of_its_replicates() -> None:
    replicates = np.random.default_rng(5).normal(7.0, 2.0, size=4000)  # biased: only spread counts
    one, p = statistics.difference_from_replicates(3.0, replicates, 100)
    assert one.value == 3.0
    assert one.low == pytest.approx(3 - 1.96 * 2, rel=0.05)
    assert p == pytest.approx(2 * stats.norm.sf(1.5), rel=0.1)


@pytest.mark.parametrize("values", [[], [math.nan], [1.0], [2.0, 2.0, 2.0], [1.0, math.inf, 3.0]])
def test_poor_samples_give_what_they_can(values: list[float]) -> None:
    seen = [value for value in values if math.isfinite(value)]
    one = statistics.mean(np.array(values))
    assert one.n == len(seen)
    assert one.value == (pytest.approx(np.mean(seen)) if seen else None)
    if len(seen) < 2:
        assert one.low is None
    rho, p = statistics.spearman(np.array(values), np.array(values))
    assert (rho.value, p) == (None, None)
    assert statistics.paired(np.array(values), np.array(values)).difference.n == len(seen)
