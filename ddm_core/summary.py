"""A trace in a few numbers, each with an interval over samples and the way it was made."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Estimate", "mean_of", "summarize"]

_NORMAL = 1.959964  # 97.5% quantile of the standard normal: two-sided 95%


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


def summarize(trace: xr.Dataset, seconds: float) -> dict[str, Estimate]:
    """The numbers by which runs are compared, as far as their variables were recorded.

    Arguments:
        trace: of one run.
        seconds: that sampling took.

    Returns:
        selected_distance: to the clusters of the chosen experts, weighted as they are;
        chance_distance: to the clusters of all experts alike; selected_minus_chance: their
        difference sample by sample (negative: chosen experts are nearer);
        selected_minus_chance_noised: the same by the distance of the noisy state, which does not
        depend on what the chosen experts predict; nearest_selected: share of steps where the
        expert of the nearest cluster is among the chosen, and nearest_selected_chance: the share
        of experts that are chosen, which a blind choice would reach; disagreement, in
        radians; entropy, in nats; perturbation_growth and perturbation_growth_median: at the end
        of the path; expert_calls: per sample and step; seconds.
    """
    out: dict[str, Estimate] = {}
    selected = _by_sample(trace, "selected_distance")
    if selected is not None:
        out["selected_distance"] = _mean(selected, "mean over steps")
    if selected is not None and "cluster_distance" in trace:
        every = trace["cluster_distance"].transpose("step", "sample", "expert").values
        chance = np.where(np.isnan(selected), np.nan, every.mean(axis=2).mean(axis=0))
        out["chance_distance"] = _mean(chance, "mean over steps and experts")
        out["selected_minus_chance"] = _mean(
            selected - chance, "paired by sample: selected_distance - chance_distance"
        )
    if "cluster_distance_noised" in trace and "weights" in trace:
        noised = trace["cluster_distance_noised"]
        away = (trace["weights"] * noised).sum("expert") - noised.mean("expert")
        out["selected_minus_chance_noised"] = _mean(
            away.transpose("step", "sample").values.astype(float).mean(axis=0),
            "paired by sample: sum_k w_k d_k - mean_k d_k with d_k = |x_t - alpha_t mu_k|",
        )
    if "weights" in trace and "nearest_selected" in trace:
        chosen = (trace["weights"] > 0).mean("expert").transpose("step", "sample")
        out["nearest_selected_chance"] = _mean(
            chosen.values.astype(float).mean(axis=0), "share of experts chosen; mean over steps"
        )
    for name in ("nearest_selected", "disagreement", "entropy"):
        values = _by_sample(trace, name)
        if values is not None:
            out[name] = _mean(values, "mean over steps")
    if "perturbation_growth" in trace:
        growth = trace["perturbation_growth"].isel(step=-1).values.astype(float)
        out["perturbation_growth"] = _mean(growth, "at the last step")
        out["perturbation_growth_median"] = _median(growth, "at the last step")
    if "expert_calls" in trace:
        samples, steps = trace.sizes["sample"], trace.sizes["step"]
        calls = float(trace["expert_calls"].sum()) / (samples * steps)
        out["expert_calls"] = Estimate(calls, None, None, samples, "all calls / (samples x steps)")
    out["seconds"] = Estimate(seconds, None, None, 1, "wall clock, once")
    return out


def mean_of(trace: xr.Dataset, name: str) -> Estimate:
    """Mean of a variable [step, sample] over steps and over the samples on which it was measured.

    Raises:
        KeyError: the trace does not hold it.
    """
    values = _by_sample(trace, name)
    if values is None:
        raise KeyError(name)
    return _mean(values, "mean over steps")


def _by_sample(trace: xr.Dataset, name: str) -> np.ndarray | None:
    """Mean over steps [sample]; nan where the sample was not observed."""
    if name not in trace:
        return None
    return trace[name].transpose("step", "sample").values.astype(float).mean(axis=0)


def _mean(values: np.ndarray, what: str) -> Estimate:
    seen = values[~np.isnan(values)]
    method = f"{what}; mean over samples, 95% normal interval"
    if len(seen) == 0:
        return Estimate(None, None, None, 0, method)
    # Infinite growth is a finding, not a fault: it becomes null, without a warning on the way.
    with np.errstate(invalid="ignore", over="ignore"):
        mean = float(seen.mean())
        if len(seen) < 2:
            return Estimate(_finite(mean), None, None, len(seen), method)
        half = _NORMAL * float(seen.std(ddof=1)) / math.sqrt(len(seen))
    return Estimate(_finite(mean), _finite(mean - half), _finite(mean + half), len(seen), method)


def _median(values: np.ndarray, what: str) -> Estimate:
    seen = np.sort(values[~np.isnan(values)])
    n = len(seen)
    method = f"{what}; median over samples, 95% interval from order statistics"
    if n == 0:
        return Estimate(None, None, None, 0, method)
    middle = _finite(float(np.median(seen)))
    if n < 6:  # Not even the extremes of five samples enclose the median with 95%.
        return Estimate(middle, None, None, n, method)
    half = _NORMAL * math.sqrt(n) / 2
    low = max(0, math.floor(n / 2 - half))
    high = min(n - 1, math.ceil(n / 2 + half))
    return Estimate(middle, _finite(float(seen[low])), _finite(float(seen[high])), n, method)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
