"""A number with its 95% interval, for whoever shall not wait for SciPy and torch to be imported.

References:
    Probable Inference, the Law of Succession, and Statistical Inference (Wilson, 1927)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

__all__ = [
    "Estimate",
    "Z",
    "estimate_mean",
    "estimate_median",
    "normal_interval",
    "wilson_interval",
]

Z = 1.959963984540054  # 97.5% quantile of the standard normal: two-sided 95%
_FEWEST = 6  # not even the extremes of five samples enclose the median with 95%


class Estimate(NamedTuple):
    """A number with its uncertainty.

    Arguments:
        value: None where there is nothing finite to say.
        low, high: 95% interval, or None where samples tell none.
        n: samples it rests on.
        method: how value and interval were made.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    method: str

    def to_json(self) -> dict[str, float | int | str | None]:
        """As run.json has it."""
        return dict(self._asdict())


def estimate_mean(
    values: np.ndarray, what: str = "", *, least: float = -math.inf, most: float = math.inf
) -> Estimate:
    """Mean of [sample] with a normal interval; nan are left out, and what is infinite is None.

    Arguments:
        what: is averaged, for the method.
        least, most: where the interval is cut off, since no value can be beyond.
    """
    seen = values[~np.isnan(values)]
    n = len(seen)
    method = _method(what, "mean over samples, 95% normal interval")
    if math.isfinite(most):
        method += f", cut to [{least:g}, {most:g}]"
    elif math.isfinite(least):
        method += f", cut at {least:g}"
    if n == 0:
        return Estimate(None, None, None, 0, method)
    # Infinite growth is a finding, not a fault: it becomes null, without a warning on the way.
    with np.errstate(invalid="ignore", over="ignore"):
        middle = float(seen.mean())
        if n < 2:
            return Estimate(_finite(middle), None, None, n, method)
        error = float(seen.std(ddof=1)) / math.sqrt(n)
    if not math.isfinite(error):
        return Estimate(_finite(middle), None, None, n, method)
    return Estimate(middle, *normal_interval(middle, error, least=least, most=most), n, method)


def estimate_median(values: np.ndarray, what: str = "") -> Estimate:
    """Median of [sample] with an interval from order statistics; nan are left out."""
    seen = np.sort(values[~np.isnan(values)])
    n = len(seen)
    method = _method(what, "median over samples, 95% interval from order statistics")
    if n == 0:
        return Estimate(None, None, None, 0, method)
    middle = _finite(float(np.median(seen)))
    if n < _FEWEST:
        return Estimate(middle, None, None, n, method)
    half = Z * math.sqrt(n) / 2
    low = max(0, math.floor(n / 2 - half))
    high = min(n - 1, math.ceil(n / 2 + half))
    return Estimate(middle, _finite(float(seen[low])), _finite(float(seen[high])), n, method)


def normal_interval(
    value: float, error: float, *, least: float = -math.inf, most: float = math.inf
) -> tuple[float, float]:
    """value -+ 1.96 standard errors, cut off where no value can be."""
    return max(least, value - Z * error), min(most, value + Z * error)


def wilson_interval(share: np.ndarray | float, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Of shares [...] of n independent samples; never empty, not even at 0 and 1. Of none: nan."""
    share = np.asarray(share, dtype=float)
    if n == 0:
        nothing = np.full_like(share, np.nan)
        return nothing, nothing
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2)) / (1 + Z**2 / n)
    return np.maximum(0.0, middle - half), np.minimum(1.0, middle + half)


def _method(what: str, how: str) -> str:
    return f"{what}; {how}" if what else how


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
