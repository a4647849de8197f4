"""The four claims put to what was measured: which routes are compared, by which numbers.

The sparse route is Top-2, or Top-1 where two experts are all there are; the full ensemble is the
Top-K of the same router. Published were an FID of 47.9 for the full ensemble against 22.6 for
Top-2, and a Delta_refine of 0.020 against 0.051 (reported).

References:
    Expert-Data Alignment Governs Generation Quality in Decentralized Diffusion Models
        (Villagra et al., 2026)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from ddm_core.analysis import quality, statistics
from ddm_core.analysis.claims import Check, Claim
from ddm_core.analysis.numbers import DEFINITIONS, Judged, per_sample
from ddm_core.analysis.parts import Part
from ddm_core.analysis.routed import Floors, chosen_against_not
from ddm_core.analysis.stability import Array
from ddm_core.analysis.truth import Truth
from ddm_core.metrics import Reference

__all__ = ["Measurements", "claims_of"]


class Measurements(NamedTuple):
    """Everything that was measured of one system.

    Arguments:
        parts: routes by spec, on the audited system; failed ones have no features.
        judged: their quality, by spec; failed ones are missing.
        weights: of each route on noised real data [time, sample, expert], by spec.
        metric: that quality is, fid or energy_distance.
        sparse, full: specs of the two routes that are compared.
        truth: of the pass over real data, or None; no_truth says why.
        floors: losses that no route can be blamed for.
        reference: real data, as the metric sees them.
        confidence: of the system's own classifier, features [sample, feature] -> largest
            probability [sample]; None where it has none.
        mapped: routes that are only there for the paradox map.
    """

    parts: Mapping[str, Part]
    judged: Mapping[str, Judged]
    weights: Mapping[str, Array]
    metric: str
    sparse: str
    full: str
    truth: Truth | None
    floors: Floors | None
    no_truth: str
    reference: Reference
    confidence: Callable[[Array], Array] | None = None
    mapped: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        """How the metric is called."""
        return DEFINITIONS[self.metric].title


def claims_of(m: Measurements) -> list[Claim]:
    """All four, in the paper's order."""
    return [_stability(m), _alignment(m), _accuracy(m), _disagreement(m)]


def _stability(m: Measurements) -> Claim:
    checks: list[Check] = []
    caveats: list[str] = []
    lacking = ""
    if m.sparse in m.judged and m.full in m.judged:
        full, sparse = m.judged[m.full], m.judged[m.sparse]
        n = len(m.parts[m.full].features)
        estimate, p = statistics.difference_from_replicates(
            full.value - sparse.value, full.replicates - sparse.replicates, n, "shared seeds"
        )
        name = f"{m.title} of {m.full} - {m.sparse}"
        checks.append(Check(name, DEFINITIONS[m.metric].definition, estimate, +1, None, p))
        ours, theirs = per_sample(m.parts[m.full]), per_sample(m.parts[m.sparse])
        for key in ("delta_refine", "lipschitz", "growth", "lyapunov", "lipschitz_difference"):
            if key in ours and key in theirs:
                about = DEFINITIONS[key]
                checks.append(
                    _paired(
                        f"{about.title} of {m.full} - {m.sparse}",
                        about.definition,
                        ours[key],
                        theirs[key],
                        -1,
                        decides=key in ("delta_refine", "lipschitz"),
                    )
                )
        caveats.append(_order(m))
        caveats.append(
            "'stable' means a lower Delta_refine and a lower mean local Lipschitz constant here; "
            "other sensitivities are shown beside, and may rank the routes differently"
        )
    else:
        lacking = _failures(m, (m.sparse, m.full))
    return Claim(
        1,
        "Stability is not quality",
        "The full ensemble is the stablest and best converged of all routes, and its samples are "
        "the worst.",
        f"{m.title}({m.full}) - {m.title}({m.sparse})",
        "",
        tuple(checks),
        lacking,
        tuple(caveats),
    )


def _order(m: Measurements) -> str:
    """Which routes are best and worst, as far as intervals tell."""
    ranked = sorted(m.judged.items(), key=lambda pair: pair[1].value)
    (best, first), (worst, last) = ranked[0], ranked[-1]
    said = f"lowest {m.title}: {best} ({first.value:.3g}), highest: {worst} ({last.value:.3g})"
    alike = [
        route
        for route, judged in ranked[1:]
        if (one := judged.numbers[m.metric]).low is not None
        and (other := first.numbers[m.metric]).high is not None
        and one.low <= other.high
    ]
    if alike:
        said += f"; not told apart from the lowest by their intervals: {', '.join(alike)}"
    return said


def _alignment(m: Measurements) -> Claim:
    checks: list[Check] = []
    routes = list(dict.fromkeys((m.sparse, "top_k:k=1")))
    measured = [route for route in routes if "chosen" in (s := _series(m, route)) and s]
    for route in measured:
        series = _series(m, route)
        for suffix, how in (("", "|phi(x0_hat) - mu_k|"), ("_noised", "|x_t - alpha_t mu_k|")):
            checks.append(
                _paired(
                    f"distance of the chosen - of all experts alike, {route}, {how}",
                    f"sum_k w_k d_k - mean_k d_k, d_k = {how}, mean over steps",
                    series[f"chosen{suffix}"].mean(axis=0),
                    series[f"chance{suffix}"].mean(axis=0),
                    -1,
                )
            )
        checks.append(
            _paired(
                f"nearest cluster chosen - chance, {route}",
                "share of steps whose nearest cluster's expert is chosen - share chosen",
                series["hit"].mean(axis=0),
                series["share"].mean(axis=0),
                +1,
            )
        )
    if m.truth is not None and m.sparse in m.weights:
        w = m.weights[m.sparse]
        own = np.take_along_axis(w > 0, m.truth.clusters[None, :, None], axis=2)[:, :, 0]
        checks.append(
            _paired(
                f"true cluster chosen - chance, {m.sparse}, noised real data",
                "share of noise levels at which the expert of the image's own cluster is chosen",
                own.mean(axis=0).astype(float),
                (w > 0).mean(axis=2).mean(axis=0),
                +1,
            )
        )
    return Claim(
        2,
        "Alignment",
        "Sparse routing picks the experts whose data are closest to the current state.",
        f"distance of the chosen - chance, {measured[0]}" if measured else "",
        "",
        tuple(checks),
        "" if checks else _failures(m, routes),
        (
            "an expert's own prediction pulls x0_hat towards its cluster: the distance of the "
            "noisy state and the true clusters of real data are tested beside for that reason",
        ),
    )


def _accuracy(m: Measurements) -> Claim:
    checks: list[Check] = []
    if m.truth is not None:
        for route in dict.fromkeys((m.sparse, "top_k:k=1")):
            if route not in m.weights:
                continue
            chosen, other = chosen_against_not(m.truth, m.weights[route])
            checks.append(
                _paired(
                    f"denoising loss of the chosen - of the others, {route}",
                    "|v_k - (eps - x_0)|^2 / dimension, chosen as weighted, others alike, "
                    "mean over noise levels",
                    chosen.mean(axis=0),
                    other.mean(axis=0),
                    -1,
                )
            )
        diagonal = np.einsum("tskk->tsk", m.truth.gram)
        own = np.take_along_axis(diagonal, m.truth.clusters[None, :, None], axis=2)[:, :, 0]
        others = (diagonal.sum(axis=2) - own) / max(1, diagonal.shape[2] - 1)
        checks.append(
            _paired(
                "denoising loss of the own cluster's expert - of the others",
                "whatever the router does: the expert that was trained on the image's cluster",
                own.mean(axis=0),
                others.mean(axis=0),
                -1,
                decides=False,
            )
        )
    first = checks[0].name if checks else ""
    return Claim(
        3,
        "Accuracy",
        "The experts that are selected predict better than those that are not.",
        first,
        "",
        tuple(checks),
        "" if checks else m.no_truth,
        ("near t = 1 all experts predict the mean of their data and differ little",),
    )


def _disagreement(m: Measurements) -> Claim:
    checks: list[Check] = []
    real = m.reference.features
    routes = [route for route in dict.fromkeys((m.sparse, m.full)) if route in m.judged]
    for route in routes:
        part = m.parts[route]
        spread = part.series.get("disagreement")
        if spread is None:
            continue
        seen = np.isfinite(spread).all(axis=0)
        away = quality.per_sample_distance(part.features[seen], real)
        rho, p = statistics.spearman(spread[:, seen].mean(axis=0), away)
        checks.append(
            Check(
                f"Spearman of disagreement with distance to real data, {route}",
                "mean angle between velocities over steps; mean distance to the 5 nearest real "
                "neighbours in the features of the metric",
                rho,
                +1,
                None,
                p,
                decides=route == m.sparse,
            )
        )
        if m.confidence is None:
            continue
        rho, p = statistics.spearman(
            spread[:, seen].mean(axis=0), 1 - m.confidence(part.features[seen])
        )
        checks.append(
            Check(
                f"Spearman of disagreement with the classifier's doubt, {route}",
                "mean angle between velocities over steps; 1 - largest probability that the "
                "system's own classifier gives",
                rho,
                +1,
                None,
                p,
                decides=False,
            )
        )
    across = _across(m)
    if across is not None:
        checks.append(across)
    return Claim(
        4,
        "Disagreement",
        "Quality falls where experts disagree.",
        checks[0].name if checks else "",
        "",
        tuple(checks),
        "" if checks else _failures(m, (m.sparse, m.full)),
        (
            "a correlation within one route: it does not say that disagreement is the cause; both "
            "may come from hard samples",
        ),
    )


def _across(m: Measurements) -> Check | None:
    """Over the routes: does a route whose experts disagree more have worse samples?"""
    means: list[float] = []
    values: list[float] = []
    for route, judged in m.judged.items():
        spread = m.parts[route].series.get("disagreement")
        if spread is not None and np.isfinite(spread).any():
            means.append(float(np.nanmean(spread)))
            values.append(judged.value)
    if len(means) < 5:
        return None
    rho, p = statistics.spearman(np.array(means), np.array(values))
    return Check(
        f"Spearman of mean disagreement with {m.title}, over {len(means)} routes",
        "one point per route: n is the number of routes, not of samples",
        rho,
        +1,
        None,
        p,
        decides=False,
        over="routes",
    )


def _paired(
    name: str, definition: str, one: Array, other: Array, supports: int, *, decides: bool = True
) -> Check:
    found = statistics.paired(one, other)
    return Check(name, definition, found.difference, supports, found.effect_size, found.p, decides)


def _series(m: Measurements, route: str) -> Mapping[str, Array]:
    return m.parts[route].series if route in m.judged else {}


def _failures(m: Measurements, routes: tuple[str, ...] | list[str]) -> str:
    said = [f"{route}: {m.parts[route].failed}" for route in routes if route in m.parts]
    return "; ".join(one for one in said if not one.endswith(": ")) or "the routes were not run"
