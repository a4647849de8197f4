"""The evidence by noise level, as the pages draw it: alignment, accuracy, disagreement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ddm_core import pictures
from ddm_core.analysis import quality, statistics
from ddm_core.analysis.findings import Measurements
from ddm_core.analysis.numbers import curve
from ddm_core.analysis.paradox import data_uri
from ddm_core.analysis.parts import DISTANCES, PICTURED, aligned
from ddm_core.analysis.routed import chosen_against_not, excess, matrix, routed_loss
from ddm_core.analysis.stability import Array
from ddm_core.analysis.truth import Truth
from ddm_core.intervals import Estimate

__all__ = ["accuracy", "alignment", "disagreement", "plain"]

BUCKETS = 4
_ALIGNED = ("chosen", "not_chosen", "hit", "rank")
_SAYS = {
    "cluster_distance": "|phi(x0_hat) - mu_k|, phi: the clustering features",
    "cluster_distance_pixels": "|x0_hat - mu_k|, in the space of x_0",
    "cluster_distance_noised": "|x_t - alpha_t mu_k|, in the space of x_0",
}


def alignment(m: Measurements) -> dict[str, Any]:
    """Chosen against not chosen, along sampling; and on real data, where the truth is known."""
    routes: list[dict[str, Any]] = []
    times: list[float] = []
    for distance, suffix in DISTANCES.items():
        for route in m.judged:
            series = m.parts[route].series
            if f"chosen{suffix}" not in series or route in m.mapped:
                continue
            times = plain(m.parts[route].t)
            experts = m.parts[route].usage.shape[1]
            found = {name: series[f"{name}{suffix}"] for name in _ALIGNED}
            routes.append(
                _aligned(route, distance, found, series["share"], experts, _SAYS[distance])
            )
    noising = None
    if m.truth is not None and m.sparse in m.weights:
        chosen = m.weights[m.sparse] > 0
        own = np.take_along_axis(chosen, m.truth.clusters[None, :, None], axis=2)[:, :, 0]
        noising = {
            "times": plain(m.truth.times),
            "router": m.sparse,
            "hit": _curve(own.astype(float)),
            "chance": plain(chosen.mean(axis=2).mean(axis=1)),
            "routes": _noised(m, m.truth),
        }
    return {"times": times, "routes": routes, "noising": noising}


def _noised(m: Measurements, truth: Truth) -> list[dict[str, Any]]:
    """The same of real data on their way to noise: nobody's prediction, or the oracle's."""
    out: list[dict[str, Any]] = []
    for distance, values, says in (
        ("cluster_distance", truth.distance, f"{_SAYS['cluster_distance']}; x0_hat: the oracle's"),
        ("cluster_distance_noised", truth.distance_noised, _SAYS["cluster_distance_noised"]),
    ):
        for route, weights in m.weights.items():
            if route in m.mapped:
                continue
            found, share = aligned(weights, values)
            experts = weights.shape[2]
            out.append(_aligned(route, distance, found, share, experts, says))
    return out


def _aligned(
    route: str,
    distance: str,
    found: Mapping[str, Array],
    share: Array,
    experts: int,
    says: str,
) -> dict[str, Any]:
    return {
        "router": route,
        "distance": distance,
        "chosen": _curve(found["chosen"]),
        "not_chosen": _curve(found["not_chosen"]),
        "hit": _curve(found["hit"]),
        "hit_chance": plain(share.mean(axis=1)),
        "rank": _curve(found["rank"]),
        "rank_chance": (experts + 1) / 2,
        "definition": says,
    }


def accuracy(m: Measurements) -> dict[str, Any] | None:
    """Who predicts well, by noise level; None without real data."""
    if m.truth is None or m.floors is None:
        return None
    table, counts = matrix(m.truth)
    routes: list[dict[str, Any]] = []
    loss: list[dict[str, Any]] = []
    for route, weights in m.weights.items():
        if route in m.mapped:
            continue
        chosen, other = chosen_against_not(m.truth, weights)
        if np.isfinite(other).any():
            routes.append(
                {
                    "router": route,
                    "chosen": _curve(chosen),
                    "not_chosen": _curve(other),
                    "difference": _curve(chosen - other),
                }
            )
        split = excess(m.truth, weights, m.floors)
        loss.append(
            {
                "router": route,
                "loss": _curve(split.loss),
                "over_oracle": _curve(split.over_oracle),
                "over_best": _curve(split.over_best),
            }
        )
    if m.truth.monolith is not None:
        nothing = [Estimate(None, None, None, 0, "a monolith has no weights").to_json()]
        absent = nothing * len(m.truth.times)
        own = _curve(m.truth.monolith)
        row = {"router": "monolith", "loss": own, "over_oracle": absent, "over_best": absent}
        loss.append(row)
    return {
        "times": plain(m.truth.times),
        "clusters_n": plain(counts),
        "matrix": plain(table),
        "routes": routes,
        "loss": loss,
        "source": m.truth.source,
    }


def disagreement(
    m: Measurements, images: Mapping[str, Array], across: Estimate | None
) -> dict[str, Any]:
    """Where experts disagree: in time, in the image, in which samples.

    Arguments:
        images: uint8 samples [sample, height, width, channel] of routes whose pictures are known.
        across: of disagreement with quality over the routes, as the fourth claim has it.
    """
    routes: list[dict[str, Any]] = []
    times: list[float] = []
    for route in dict.fromkeys((m.sparse, m.full)):
        spread = m.parts[route].series.get("disagreement") if route in m.judged else None
        if spread is None:
            continue
        times = plain(m.parts[route].t)
        seen = np.isfinite(spread).all(axis=0)
        mean, features = spread[:, seen].mean(axis=0), m.parts[route].features[seen]
        away = quality.per_sample_distance(features, m.reference.features)
        rho, p = statistics.spearman(mean, away)
        sure, sure_p = None, None
        if m.confidence is not None:
            sure, sure_p = statistics.spearman(mean, 1 - m.confidence(features))
        routes.append(
            {
                "router": route,
                "by_t": _curve(spread),
                "buckets": _buckets(m, mean, features, images.get(route), np.flatnonzero(seen)),
                "spearman": rho.to_json(),
                "p": p,
                "spearman_doubt": None if sure is None else sure.to_json(),
                "p_doubt": sure_p,
            }
        )
    return {
        "times": times,
        "routes": routes,
        "pixels": _pixels(m),
        "across": None if across is None else across.to_json(),
        "noising": _disagreement_noised(m),
    }


def _disagreement_noised(m: Measurements) -> dict[str, Any] | None:
    """Where experts disagree on real data, and whether a route then loses more."""
    if m.truth is None:
        return None
    rho, p = None, None
    if m.sparse in m.weights:
        loss = routed_loss(m.truth, m.weights[m.sparse]).mean(axis=0)
        rho, p = statistics.spearman(m.truth.disagreement.mean(axis=0), loss)
    return {
        "times": plain(m.truth.times),
        "router": m.sparse,
        "by_t": _curve(m.truth.disagreement),
        "by_t_max": _curve(m.truth.disagreement_max),
        "spearman": None if rho is None else rho.to_json(),
        "p": p,
    }


def _buckets(
    m: Measurements, mean: Array, features: Array, images: Array | None, rows: Array
) -> list[dict[str, Any]]:
    if len(mean) < 8 * BUCKETS:
        return []
    out: list[dict[str, Any]] = []
    for bucket in quality.buckets(mean, features, m.reference, count=BUCKETS, metric=m.metric):
        picture = None
        if images is not None:
            some = rows[bucket.rows]
            if images.ndim == 4:
                some = some[np.linspace(0, len(some) - 1, PICTURED).astype(int)]
            picture = data_uri(pictures.png(pictures.grid(images[some])))
        out.append(
            {
                "low": bucket.low,
                "high": bucket.high,
                "n": bucket.n,
                "quality": bucket.quality.to_json(),
                "distance": bucket.distance.to_json(),
                "confidence": None
                if m.confidence is None
                else statistics.mean(
                    m.confidence(features[bucket.rows]), "largest probability of the classifier"
                ).to_json(),
                "picture": picture,
                "samples": plain(rows[bucket.rows]),
            }
        )
    return out


def _pixels(m: Measurements) -> dict[str, Any] | None:
    """Spread over experts of x0_hat per pixel; channels are averaged. None for points."""
    if m.truth is None or m.truth.spread.ndim != 4:
        return None
    return {"times": plain(m.truth.times), "maps": plain(m.truth.spread.mean(axis=1))}


def _curve(values: Array) -> list[dict[str, Any]]:
    return [one.to_json() for one in curve(values)]


def plain(values: Array | Sequence[float]) -> Any:
    """Nested lists of numbers with five digits; what is not finite becomes None."""

    def number(value: Any) -> Any:
        if isinstance(value, list):
            return [number(one) for one in value]
        if isinstance(value, float):
            return float(f"{value:.5g}") if np.isfinite(value) else None
        return value

    return number(np.asarray(values).tolist())
