"""A measured route as numbers, each with its definition, its interval and its n."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, NamedTuple

import numpy as np

from ddm_core.analysis import statistics
from ddm_core.analysis.parts import Part
from ddm_core.analysis.stability import Array
from ddm_core.errors import RequestError
from ddm_core.intervals import Estimate, Z, estimate_median
from ddm_core.metrics import METRICS, Measured, Reference
from ddm_core.metrics.base import Evidence
from ddm_core.metrics.energy import nearness
from ddm_core.metrics.extractors.base import never
from ddm_core.metrics.fid import fid_replicates
from ddm_core.metrics.two_sample import two_sample_replicates

__all__ = ["DEFINITIONS", "Definition", "Judged", "curve", "judge", "numbers_of", "per_sample"]


class Definition(NamedTuple):
    """What a number is."""

    title: str
    definition: str
    better: Literal["lower", "higher"] | None


DEFINITIONS: dict[str, Definition] = {
    "fid": Definition("FID", "Frechet distance of features to the training data", "lower"),
    "fd_infinity": Definition(
        "FD-infinity",
        "Frechet distance at n = infinity: regression on 1/n over sub-samples",
        "lower",
    ),
    "kid": Definition("KID", "unbiased squared MMD with a cubic kernel", "lower"),
    "precision": Definition(
        "precision", "share of samples within the k-NN reach of real ones", "higher"
    ),
    "recall": Definition(
        "recall", "share of real ones within the k-NN reach of samples", "higher"
    ),
    "energy_distance": Definition(
        "energy distance", "2 E|X-Y| - E|X-X'| - E|Y-Y'| to exact draws, unbiased", "lower"
    ),
    "delta_refine": Definition("Delta_refine", "|x^N - x^2N| / |x^2N|, N and 2N steps", "lower"),
    "growth": Definition("growth", "|dx_0| / |dx_T| of a re-routed twin, mean", "lower"),
    "growth_median": Definition(
        "growth, median", "|dx_0| / |dx_T| of a re-routed twin, median", "lower"
    ),
    "growth_frozen": Definition(
        "growth, weights frozen", "|dx_0| / |dx_T| of a twin with the sample's weights", "lower"
    ),
    "growth_renormalised": Definition(
        "growth, renormalised",
        "prod over steps of |dx_s| / h of a re-routed twin put back to h (Benettin), mean",
        "lower",
    ),
    "lyapunov": Definition(
        "Lyapunov exponent", "ln(|dx_0| / |dx_T|) / T of a re-routed twin, mean", "lower"
    ),
    "lyapunov_renormalised": Definition(
        "Lyapunov exponent, renormalised",
        "sum over steps of ln(|dx_s| / h) / T, twin put back to h (Benettin), mean",
        "lower",
    ),
    "lipschitz": Definition(
        "local Lipschitz, mean", "mean over steps of sigma_max(dv/dx), warm-started", "lower"
    ),
    "lipschitz_max": Definition(
        "local Lipschitz, max", "max over steps of sigma_max(dv/dx), warm-started", "lower"
    ),
    "effective_lipschitz": Definition("L_eff", "sum_i |dt_i| sigma_max(dv/dx)_i", "lower"),
    "lipschitz_difference": Definition(
        "slope along random directions", "mean over steps of |v(x+hu) - v(x-hu)| / 2h", "lower"
    ),
    "lipschitz_difference_max": Definition(
        "largest slope along random directions",
        "max over steps and 2 directions of |v(x+hu) - v(x-hu)| / 2h",
        "lower",
    ),
    "lipschitz_frozen": Definition(
        "slope, weights frozen",
        "mean over steps of |v(x+hu) - v(x-hu)| / 2h with the sample's weights",
        "lower",
    ),
    "lipschitz_noised": Definition(
        "local Lipschitz, real data",
        "sigma_max(dv/dx) on held-out data noised to t = 0.1, 0.3, ..., 0.9, mean",
        "lower",
    ),
    "selected_distance": Definition(
        "selected distance", "sum_k w_k |phi(x0_hat) - mu_k|, mean over steps", "lower"
    ),
    "selected_minus_chance": Definition(
        "selected - chance", "sum_k w_k d_k - mean_k d_k, d_k = |phi(x0_hat) - mu_k|", "lower"
    ),
    "selected_minus_chance_noised": Definition(
        "selected - chance, noisy state",
        "sum_k w_k d_k - mean_k d_k, d_k = |x_t - alpha_t mu_k|",
        "lower",
    ),
    "selected_minus_chance_pixels": Definition(
        "selected - chance, pixels",
        "sum_k w_k d_k - mean_k d_k, d_k = |x0_hat - mu_k| in the space of x_0",
        "lower",
    ),
    "rank": Definition(
        "rank of the leading expert",
        "rank of the cluster of the largest weight by |phi(x0_hat) - mu_k|, mean over steps",
        "lower",
    ),
    "nearest_selected": Definition(
        "nearest chosen", "share of steps where the expert of the nearest cluster is chosen", None
    ),
    "nearest_selected_chance": Definition(
        "nearest chosen, by chance", "share of experts that are chosen", None
    ),
    "entropy": Definition("router entropy", "-sum_k p_k ln p_k in nats, mean over steps", None),
    "max_probability": Definition(
        "largest probability", "max_k p_k of the router, mean over steps", None
    ),
    "effective_experts": Definition(
        "effective experts", "exp(-sum_k p_k ln p_k), mean over steps", None
    ),
    "switches": Definition("switches", "changes of the expert of the largest weight", None),
    "dwell": Definition(
        "dwell time", "steps that one expert leads in a row, mean over its stretches", None
    ),
    "disagreement": Definition(
        "disagreement",
        "mean angle between all pairs of velocities (rad), over steps",
        "lower",
    ),
    "disagreement_max": Definition(
        "disagreement, largest",
        "largest angle between any two velocities (rad), mean over steps",
        "lower",
    ),
    "disagreement_variance": Definition(
        "disagreement, variance",
        "sum_k w_k |v_k - v|^2 / dimension, mean over steps",
        "lower",
    ),
    "angle": Definition(
        "angle to the mix", "sum_k w_k angle(v_k, v) (rad), mean over steps", "lower"
    ),
    "routed_loss": Definition(
        "routed denoising loss", "E|v_route - (eps - x_0)|^2 / dimension on held-out data", "lower"
    ),
    "excess_over_oracle": Definition(
        "excess over oracle weights", "routed loss - loss with the true cluster's weights", "lower"
    ),
    "excess_over_best": Definition(
        "excess over the best weights",
        "routed loss - loss of the best convex weights in hindsight",
        "lower",
    ),
}

_SERIES = (
    *("rank", "entropy", "max_probability", "disagreement", "disagreement_max"),
    *("disagreement_variance", "angle"),
)
_BESIDE = {
    "fid": ("fd_infinity", "kid", "precision", "recall"),
    "energy_distance": ("fid", "fd_infinity"),
}


class Judged(NamedTuple):
    """The quality of a route.

    Arguments:
        value: of the metric that this system is judged by.
        replicates: of a bootstrap over seeds, by the same rows for every route [replicate].
        numbers: that metric and others, with intervals.
        protocols: what was compared with what, by metric.
    """

    value: float
    replicates: Array
    numbers: dict[str, Estimate]
    protocols: dict[str, str]


def judge(
    features: Array,
    reference: Reference,
    metric: str,
    *,
    full: bool,
    should_stop: Callable[[], bool] = never,
) -> Judged:
    """How good samples are, from their features [sample, feature].

    Arguments:
        metric: fid or energy_distance.
        full: also the other metrics.
        should_stop: asked now and then; True ends the work with a WorkError.
    """
    evidence = Evidence(features, reference, should_stop=should_stop)
    if metric == "fid":
        value, replicates = fid_replicates(evidence)
    else:
        value, replicates = two_sample_replicates(nearness, evidence)
    names = (metric, *_BESIDE[metric]) if full else (metric,)
    measured: dict[str, Measured] = {}
    for name in names:
        try:
            measured[name] = METRICS.parse(name).measure(evidence)
        except RequestError:
            continue  # too few samples for this one; the others stand
    return Judged(
        value,
        replicates,
        {name: Estimate(*one[:4], one.method) for name, one in measured.items()},
        {name: one.protocol for name, one in measured.items()},
    )


def per_sample(part: Part) -> dict[str, Array]:
    """Numbers whose mean over samples is the route's, [sample] each; nan where not observed."""
    series = part.series
    out: dict[str, Array] = {}

    def over_steps(name: str, values: Array) -> None:
        out[name] = values.astype(float).mean(axis=0)

    if "chosen" in series:
        over_steps("selected_distance", series["chosen"])
        over_steps("selected_minus_chance", series["chosen"] - series["chance"])
        over_steps("nearest_selected", series["hit"])
        over_steps("nearest_selected_chance", series["share"])
    if "chosen_noised" in series:
        over_steps(
            "selected_minus_chance_noised", series["chosen_noised"] - series["chance_noised"]
        )
    if "chosen_pixels" in series:
        over_steps(
            "selected_minus_chance_pixels", series["chosen_pixels"] - series["chance_pixels"]
        )
    for name in _SERIES:
        if name in series:
            over_steps(name, series[name])
    if "entropy" in series:
        over_steps("effective_experts", np.exp(series["entropy"].astype(float)))
    if "leader" in series:
        changes = (np.diff(series["leader"], axis=0) != 0).sum(axis=0)
        out["switches"] = changes.astype(float)
        out["dwell"] = len(series["leader"]) / (1.0 + changes)
    out.update(part.stability)
    if part.convergence:
        out["delta_refine"] = part.convergence[max(part.convergence)]
    return {name: np.where(np.isfinite(v), v, np.nan) for name, v in out.items()}


def numbers_of(part: Part, judged: Judged, losses: Mapping[str, Array]) -> dict[str, Estimate]:
    """All numbers of a route.

    Arguments:
        losses: routed_loss, excess_over_oracle, excess_over_best of real data [sample], if known.
    """
    out = dict(judged.numbers)
    for name, values in {**per_sample(part), **losses}.items():
        out[name] = statistics.mean(values, DEFINITIONS[name].definition)
    if "growth" in part.stability:
        out["growth_median"] = estimate_median(part.stability["growth"])
    return out


def curve(values: Array) -> Sequence[Estimate]:
    """Mean over samples of [step, sample] at every step, with a normal interval, without nan."""
    finite = np.isfinite(values)
    n = finite.sum(axis=1)
    kept = np.where(finite, values, 0.0).astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = kept.sum(axis=1) / n
        away = np.where(finite, values - mean[:, None], 0.0)
        half = Z * np.sqrt((away**2).sum(axis=1) / (n - 1) / n)
    method = "mean over samples, 95% normal interval"
    out: list[Estimate] = []
    for m, h, count in zip(mean.tolist(), half.tolist(), n.tolist(), strict=True):
        if count == 0:
            out.append(Estimate(None, None, None, 0, method))
        elif count < 2:
            out.append(Estimate(m, None, None, count, method))
        else:
            out.append(Estimate(m, m - h, m + h, count, method))
    return out
