"""Which diagnostic predicts quality? Rank correlation of each with the metric, over the routes.

References:
    Expert-Data Alignment Governs Generation Quality in Decentralized Diffusion Models
        (Villagra et al., 2026): "choose routing by expert-data alignment, not by stability"
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import rankdata

from ddm_core.analysis.findings import Measurements
from ddm_core.analysis.numbers import DEFINITIONS, per_sample
from ddm_core.analysis.stability import Array
from ddm_core.intervals import Estimate
from ddm_core.metrics.resampling import resample_counts

__all__ = ["DIAGNOSTICS", "league"]

#: In the order of the page; quality itself is not among them.
DIAGNOSTICS = (
    *("delta_refine", "lipschitz", "lipschitz_max", "effective_lipschitz"),
    *("lipschitz_difference", "lipschitz_difference_max", "lipschitz_frozen"),
    "lipschitz_noised",
    *("growth", "growth_frozen", "growth_renormalised", "lyapunov", "lyapunov_renormalised"),
    *("selected_distance", "selected_minus_chance", "selected_minus_chance_pixels"),
    *("selected_minus_chance_noised", "rank", "nearest_selected"),
    *("entropy", "max_probability", "effective_experts", "switches", "dwell"),
    *("disagreement", "disagreement_max", "disagreement_variance", "angle"),
    *("routed_loss", "excess_over_oracle", "excess_over_best"),
)
FEWEST_ROUTES = 5


def league(m: Measurements, losses: Mapping[str, Mapping[str, Array]]) -> dict[str, Any]:
    """The table, best predictor first.

    The interval is of a bootstrap over seeds, the same resampled seeds for every route; the routes
    are taken as they are. Leaving out one route at a time shows how much hangs on a single one.

    Arguments:
        losses: [sample] of real data by name, by route.
    """
    samples = {
        route: {**per_sample(m.parts[route]), **losses.get(route, {})} for route in m.judged
    }
    rows: list[dict[str, Any]] = []
    for name in DIAGNOSTICS:
        routes = [r for r, numbers in samples.items() if _known(numbers.get(name))]
        if len(routes) < FEWEST_ROUTES:
            continue
        values = [samples[route][name] for route in routes]
        rows.append(_row(m, name, routes, values))
    rows.sort(key=lambda row: -abs(row["spearman"]["value"] or 0.0))
    return {"quality": m.metric, "rows": rows, "sentence": _sentence(m, rows)}


def _row(m: Measurements, name: str, routes: list[str], values: list[Array]) -> dict[str, Any]:
    quality = np.array([m.judged[route].value for route in routes])
    means = np.array([np.nanmean(v) for v in values])
    rho = float(_rho(means, quality))
    replicates = len(m.judged[routes[0]].replicates)
    resampled = np.stack([_resampled(v, replicates) for v in values], axis=1)
    judged = np.stack([m.judged[route].replicates for route in routes], axis=1)
    draws = _rho(resampled, judged)
    draws = draws[np.isfinite(draws)]
    low, high = np.quantile(draws, (0.025, 0.975)).tolist() if len(draws) else (None, None)
    left = [float(_rho(np.delete(means, i), np.delete(quality, i))) for i in range(len(routes))]
    known = [one for one in left if np.isfinite(one)]
    about = DEFINITIONS[name]
    method = (
        f"Spearman over {len(routes)} routes; 95% percentile bootstrap over seeds, "
        f"B = {replicates}, routes as they are"
    )
    estimate = Estimate(None if np.isnan(rho) else rho, low, high, len(routes), method)
    return {
        "name": name,
        "title": about.title,
        "definition": about.definition,
        "spearman": estimate.to_json(),
        "leave_one_out": [min(known), max(known)] if known else [None, None],
        "routes": len(routes),
    }


def _known(values: Array | None) -> bool:
    return values is not None and bool(np.isfinite(values).any())


def _resampled(values: Array, replicates: int) -> Array:
    """Means of resampled seeds [replicate]; a sample that was not observed counts for nothing."""
    seen = values[np.isfinite(values)]
    return resample_counts(len(seen), replicates, [0]) @ seen / len(seen)


def _rho(x: Array, y: Array) -> Array:
    """Spearman [*] of [*, route] with [*, route]; nan where one of them is all alike."""
    a, b = (ranks - ranks.mean(axis=-1, keepdims=True) for ranks in map(_ranks, (x, y)))
    with np.errstate(invalid="ignore"):
        return (a * b).sum(axis=-1) / np.sqrt((a * a).sum(axis=-1) * (b * b).sum(axis=-1))


def _ranks(x: Array) -> Array:
    return rankdata(x, axis=-1)


def _sentence(m: Measurements, rows: list[dict[str, Any]]) -> str:
    told = [row for row in rows if _apart(row["spearman"])]
    if not told:
        return f"No diagnostic predicts {m.title} over these routes beyond doubt."
    first = told[0]
    one = first["spearman"]
    said = (
        f"Over {first['routes']} routes, {first['title']} follows {m.title} most closely: "
        f"Spearman {one['value']:.2f} [{one['low']:.2f}, {one['high']:.2f}]."
    )
    rivals = [
        row["title"] for row in told[1:] if _reach(row["spearman"]) >= _least(first["spearman"])
    ]
    if rivals:
        said += f" Not told apart from it: {', '.join(rivals)}."
    return said


def _apart(one: Mapping[str, Any]) -> bool:
    return one["low"] is not None and one["low"] * one["high"] > 0


def _least(one: Mapping[str, Any]) -> float:
    return min(abs(one["low"]), abs(one["high"]))


def _reach(one: Mapping[str, Any]) -> float:
    return max(abs(one["low"]), abs(one["high"]))
