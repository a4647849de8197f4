"""Intervals of means, medians and shares, against the books and against SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, binomtest, norm

from ddm_core.intervals import Z, estimate_mean, estimate_median, wilson_interval


def test_a_mean_has_a_normal_interval() -> None:
    found = estimate_mean(np.array([0.0, 1.0, np.nan, 1.0, 4.0]), "x")
    assert found.value == 1.5
    assert found.n == 4
    half = norm.ppf(0.975) * math.sqrt(3) / 2
    assert (found.low, found.high) == pytest.approx((1.5 - half, 1.5 + half), rel=1e-12)
    assert found.method == "x; mean over samples, 95% normal interval"


def test_what_cannot_be_below_zero_has_no_interval_below_it() -> None:
    values = np.array([0.0, 0.0, 0.0, 9.0])
    free, cut = estimate_mean(values), estimate_mean(values, least=0)
    assert free.low is not None
    assert free.low < 0
    assert (cut.value, cut.low, cut.high) == (free.value, 0, free.high)
    assert cut.method.endswith("cut at 0")
    share = estimate_mean(np.array([1.0, 1.0, 1.0, 0.5]), least=0, most=1)
    assert share.high == 1
    assert share.method.endswith("cut to [0, 1]")


@pytest.mark.parametrize("least", [-math.inf, 0.0])
@pytest.mark.parametrize("values", [[np.inf, 1.0, 2.0], [np.inf, np.inf], [np.inf, -np.inf]])
def test_infinite_growth_is_no_number(values: list[float], least: float) -> None:
    found = estimate_mean(np.array(values), least=least)
    assert (found.value, found.low, found.high, found.n) == (None, None, None, len(values))


def test_few_samples_tell_no_interval() -> None:
    assert estimate_mean(np.full(3, np.nan))[:4] == (None, None, None, 0)
    assert estimate_mean(np.array([2.0]))[:4] == (2.0, None, None, 1)
    assert estimate_median(np.array([]))[:4] == (None, None, None, 0)
    assert estimate_median(np.arange(5.0))[:4] == (2.0, None, None, 5)


@pytest.mark.parametrize("n", [6, 7, 20, 101, 1000])
def test_the_interval_of_a_median_covers_it_with_95_percent(n: int) -> None:
    """Order statistics: it misses as often as a fair coin gives so few or so many heads."""
    found = estimate_median(np.arange(float(n)))
    assert found.value == (n - 1) / 2
    assert found.low is not None
    assert found.high is not None
    covered = binom.cdf(found.high, n, 0.5) - binom.cdf(found.low, n, 0.5)
    assert covered > 0.93
    assert covered < 0.99


@pytest.mark.parametrize(("hits", "n"), [(0, 9), (1, 2), (8, 10), (50, 100), (50, 50)])
def test_a_share_has_the_interval_of_wilson(hits: int, n: int) -> None:
    low, high = wilson_interval(np.array([hits / n, 0.5]), n)
    expected = binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-9)
    assert low[1] + high[1] == pytest.approx(1)


def test_a_share_of_none_is_no_number() -> None:
    low, high = wilson_interval(np.array([0.0, 1.0]), 0)
    assert np.isnan([low, high]).all()


def test_the_quantile_is_that_of_the_normal_distribution() -> None:
    assert pytest.approx(norm.ppf(0.975), abs=1e-15) == Z
