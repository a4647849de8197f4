"""A trace in a few numbers, each with an interval over samples and the way it was made."""

from __future__ import annotations

import json
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
        of the path; lyapunov: ln(growth) / T; growth_renormalised and lyapunov_renormalised: of a
        twin that is put back (Benettin); local_lipschitz: mean over steps, local_lipschitz_max,
        effective_lipschitz: sum of |dt| L; expert_calls: per sample and step; network_calls: the
        same where a guided expert counts twice; flops: of networks, per sample; seconds.
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
        out["nearest_selected_chance"] = _share(
            chosen.values.astype(float).mean(axis=0), "share of experts chosen; mean over steps"
        )
    for name, how in (("nearest_selected", _share), ("disagreement", _mean), ("entropy", _mean)):
        values = _by_sample(trace, name)
        if values is not None:
            out[name] = how(values, "mean over steps")
    if "perturbation_growth" in trace:
        growth = trace["perturbation_growth"].isel(step=-1).values.astype(float)
        out["perturbation_growth"] = _mean(growth, "at the last step")
        out["perturbation_growth_median"] = _median(growth, "at the last step")
    out |= _sensitivity(trace)
    samples = _samples(trace)
    if "expert_calls" in trace and samples:
        calls = float(trace["expert_calls"].sum()) / (samples * trace.sizes["step"])
        out["expert_calls"] = Estimate(calls, None, None, samples, "all calls / (samples x steps)")
    if "network_calls" in trace and samples:
        out |= _cost(trace, samples)
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


def _sensitivity(trace: xr.Dataset) -> dict[str, Estimate]:
    """What twins and slopes say of the whole path."""
    out: dict[str, Estimate] = {}
    if "t" not in trace.coords:
        return out
    t = np.append(trace["t"].values, 0.0)
    for name, growth_name, exponent_name, how in (
        ("perturbation_growth", "", "lyapunov", "re-routed twin"),
        (
            "perturbation_growth_renormalised",
            *("growth_renormalised", "lyapunov_renormalised"),
            "twin put back (Benettin)",
        ),
    ):
        if name not in trace:
            continue
        growth = trace[name].isel(step=-1).values.astype(float)
        if growth_name:
            out[growth_name] = _mean(growth, f"at the last step, {how}")
        with np.errstate(divide="ignore", invalid="ignore"):
            exponent = np.log(growth) / (t[0] - t[-1])
        out[exponent_name] = _mean(exponent, f"ln(growth) / T, {how}")
    if "local_lipschitz" in trace:
        local = trace["local_lipschitz"].transpose("step", "sample").values.astype(float)
        out["local_lipschitz"] = _mean(local.mean(axis=0), "sigma_max(dv/dx), mean over steps")
        out["local_lipschitz_max"] = _mean(local.max(axis=0), "sigma_max(dv/dx), max over steps")
        out["effective_lipschitz"] = _mean(
            (-np.diff(t)[:, None] * local).sum(axis=0), "sum_i |dt_i| sigma_max(dv/dx)_i"
        )
    return out


def _samples(trace: xr.Dataset) -> int | None:
    """How many; a trace of totals alone has no such dim, but knows its config."""
    if "sample" in trace.sizes:
        return int(trace.sizes["sample"])
    return json.loads(trace.attrs.get("config", "{}")).get("num")


def _cost(trace: xr.Dataset, samples: int) -> dict[str, Estimate]:
    steps = trace.sizes["step"]
    total = float(trace["network_calls"].sum())
    how = "all evaluations of networks / (samples x steps)"
    out = {"network_calls": Estimate(total / (samples * steps), None, None, samples, how)}
    each = trace.attrs.get("flops_evaluation")
    if each is not None:
        routings = steps * float(trace.attrs.get("flops_router", 0.0))
        how = "per sample: matrix products and convolutions of all networks, 2 per multiply-add"
        flops = total / samples * float(each) + routings
        out["flops"] = Estimate(flops, None, None, samples, how)
    return out


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


def _share(values: np.ndarray, what: str) -> Estimate:
    """A mean of shares: no share is below 0 or above 1, however few samples there are."""
    found = _mean(values, what)
    if found.low is None or found.high is None:
        return found
    method = f"{found.method}, cut to [0, 1]"
    return found._replace(low=max(0.0, found.low), high=min(1.0, found.high), method=method)


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
