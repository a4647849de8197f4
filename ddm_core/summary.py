"""A trace in a few numbers, each with an interval over samples and the way it was made."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

import numpy as np

from ddm_core.intervals import Estimate, estimate_mean, estimate_median

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["mean_of", "summarize"]


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
        out["selected_distance"] = estimate_mean(selected, "mean over steps")
    if selected is not None and "cluster_distance" in trace:
        every = trace["cluster_distance"].transpose("step", "sample", "expert").values
        chance = np.where(np.isnan(selected), np.nan, every.mean(axis=2).mean(axis=0))
        out["chance_distance"] = estimate_mean(chance, "mean over steps and experts")
        out["selected_minus_chance"] = estimate_mean(
            selected - chance, "paired by sample: selected_distance - chance_distance"
        )
    if "cluster_distance_noised" in trace and "weights" in trace:
        noised = trace["cluster_distance_noised"]
        away = (trace["weights"] * noised).sum("expert") - noised.mean("expert")
        out["selected_minus_chance_noised"] = estimate_mean(
            away.transpose("step", "sample").values.astype(float).mean(axis=0),
            "paired by sample: sum_k w_k d_k - mean_k d_k with d_k = |x_t - alpha_t mu_k|",
        )
    if "weights" in trace and "nearest_selected" in trace:
        chosen = (trace["weights"] > 0).mean("expert").transpose("step", "sample")
        share = chosen.values.astype(float).mean(axis=0)
        how = "share of experts chosen; mean over steps"
        out["nearest_selected_chance"] = estimate_mean(share, how, least=0, most=1)
    for name in ("nearest_selected", "disagreement", "entropy"):
        values = _by_sample(trace, name)
        if values is not None:
            most = 1 if name == "nearest_selected" else math.inf
            out[name] = estimate_mean(values, "mean over steps", least=0, most=most)
    if "perturbation_growth" in trace:
        growth = trace["perturbation_growth"].isel(step=-1).values.astype(float)
        out["perturbation_growth"] = estimate_mean(growth, "at the last step", least=0)
        out["perturbation_growth_median"] = estimate_median(growth, "at the last step")
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
    return estimate_mean(values, "mean over steps")


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
            out[growth_name] = estimate_mean(growth, f"at the last step, {how}", least=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            exponent = np.log(growth) / (t[0] - t[-1])
        out[exponent_name] = estimate_mean(exponent, f"ln(growth) / T, {how}")
    if "local_lipschitz" in trace:
        local = trace["local_lipschitz"].transpose("step", "sample").values.astype(float)
        path = (-np.diff(t)[:, None] * local).sum(axis=0)
        for lipschitz, values, how in (
            ("local_lipschitz", local.mean(axis=0), "sigma_max(dv/dx), mean over steps"),
            ("local_lipschitz_max", local.max(axis=0), "sigma_max(dv/dx), max over steps"),
            ("effective_lipschitz", path, "sum_i |dt_i| sigma_max(dv/dx)_i"),
        ):
            out[lipschitz] = estimate_mean(values, how)
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
