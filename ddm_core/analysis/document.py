"""What was measured, as the one JSON document that pages, report and README quote."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ddm_core.analysis.claims import decide
from ddm_core.analysis.crew import Kit
from ddm_core.analysis.findings import Measurements, claims_of
from ddm_core.analysis.health import health
from ddm_core.analysis.league import league
from ddm_core.analysis.numbers import DEFINITIONS, Judged, curve, numbers_of
from ddm_core.analysis.paradox import data_uri, paradox_map
from ddm_core.analysis.parts import Part
from ddm_core.analysis.plan import Entry, Plan
from ddm_core.analysis.routed import Floors, excess, floors_of, route_weights
from ddm_core.analysis.router_quality import quality_document
from ddm_core.analysis.sections import accuracy, alignment, disagreement, plain
from ddm_core.analysis.stability import Array
from ddm_core.analysis.switching import transitions
from ddm_core.analysis.truth import Truth
from ddm_core.errors import RequestError
from ddm_core.intervals import Estimate
from ddm_core.metrics.extractors.weights import confidence_of
from ddm_core.routes import parse_route
from ddm_core.store import Store
from ddm_core.systems.base import System

__all__ = ["FORMAT", "Measured", "document"]

FORMAT = 1


class Measured(NamedTuple):
    """A route of the plan, measured and judged; None where it could not be sampled."""

    entry: Entry
    part: Part
    judged: Judged | None


def document(
    about: Mapping[str, Any],
    plan: Plan,
    kit: Kit,
    measured: Sequence[Measured],
    truth: Truth | None,
    no_truth: str,
    check: Callable[[], None],
) -> dict[str, Any]:
    """Everything that the audit says.

    Arguments:
        about: who, when, with what.
        check: raises where somebody wants to stop.
    """
    system, metric = kit.system, kit.metric
    own = [one for one in measured if one.entry.system is None]
    floors = None if truth is None else floors_of(truth)
    weights, losses = _on_real_data(own, truth, floors, system)
    m = Measurements(
        {one.entry.router: one.part for one in own},
        {one.entry.router: one.judged for one in own if one.judged is not None},
        weights,
        metric,
        "top_k:k=2" if len(system.experts) > 2 else "top_k:k=1",
        "full",
        truth,
        floors,
        no_truth,
        kit.reference,
        confidence_of(system.folder),
        frozenset(one.entry.router for one in own if one.entry.kind == "map"),
    )
    check()
    claims = claims_of(m)
    across = next((one.estimate for one in claims[3].tests if one.over == "routes"), None)
    router = quality_document(truth, system.default_router) if truth is not None else None
    fitted = None if router is None else Estimate(**router["temperature"])
    mapped = [(e, part, judged) for e, part, judged in measured if judged is not None]
    check()
    return {
        "format": FORMAT,
        **about,
        "plan": _plan(plan, system, metric, m, truth, no_truth),
        "health": health(system, m),
        "claims": decide(claims),
        "routes": [_route(one, losses, system) for one in own],
        "definitions": {name: one._asdict() for name, one in DEFINITIONS.items()},
        "alignment": alignment(m),
        "accuracy": accuracy(m),
        "router": router,
        "disagreement": disagreement(m, _images(own, m, kit.store), across),
        "league": league(m, losses),
        "map": paradox_map(
            plan,
            mapped,
            float(system.info.get("error", 0.0)),
            metric,
            fitted,
            m.judged.get("monolith"),
        ),
    }


def _on_real_data(
    own: Sequence[Measured],
    truth: Truth | None,
    floors: Floors | None,
    system: System,
) -> tuple[dict[str, Array], dict[str, dict[str, Array]]]:
    """Weights [time, sample, expert] and losses [sample] of every route on noised real data."""
    weights: dict[str, Array] = {}
    losses: dict[str, dict[str, Array]] = {}
    if truth is None or floors is None:
        return weights, losses
    for one in own:
        route = one.entry.router
        if one.entry.kind == "reference":
            if truth.monolith is not None:
                losses[route] = {"routed_loss": truth.monolith.mean(axis=0)}
            continue
        try:
            weights[route] = route_weights(truth, route, system)
        except RequestError:
            continue  # a router of a plug-in, whose answers on these states were not recorded
        split = excess(truth, weights[route], floors)
        losses[route] = {
            "routed_loss": split.loss.mean(axis=0),
            "excess_over_oracle": split.over_oracle.mean(axis=0),
            "excess_over_best": split.over_best.mean(axis=0),
        }
    return weights, losses


def _plan(
    plan: Plan,
    system: System,
    metric: str,
    m: Measurements,
    truth: Truth | None,
    no_truth: str,
) -> dict[str, Any]:
    given_up = list(plan.given_up)
    if truth is None:
        given_up.append(f"everything that needs real data: {no_truth}")
    first = next(iter(m.judged.values()), None)
    return {
        "num": plan.num,
        "steps": plan.request.steps,
        "sampler": plan.request.sampler,
        "seed": plan.request.seed,
        "stability_samples": plan.stability_samples,
        "truth_images": 0 if truth is None else len(truth.clusters),
        "truth_source": "" if truth is None else truth.source,
        "times": list(plan.times),
        "budget_seconds": plan.limit,
        "given_up": given_up,
        "quality": metric,
        "quality_title": DEFINITIONS[metric].title,
        "quality_protocol": "" if first is None else first.protocols[metric],
        "protocols": {} if first is None else first.protocols,
        "experts": len(system.experts),
        "sparse": m.sparse,
        "full": m.full,
    }


def _route(
    one: Measured,
    losses: Mapping[str, Mapping[str, Array]],
    system: System,
) -> dict[str, Any]:
    entry, part, judged = one
    strategy = entry.router.rpartition("/")[2].partition(":")[0]
    numbers = {} if judged is None else numbers_of(part, judged, losses.get(entry.router, {}))
    curve = [
        {"steps": steps, **_mean(values)} for steps, values in sorted(part.convergence.items())
    ]
    return {
        "router": entry.router,
        "run": part.run,
        "strategy": strategy,
        "k": entry.k,
        "temperature": entry.temperature,
        "kind": entry.kind,
        "calls": part.calls,
        "flops": _flops(entry, part, system),
        "seconds": round(part.seconds, 2),
        "failed": part.failed or None,
        "numbers": {name: number.to_json() for name, number in numbers.items()},
        "convergence": {
            "steps": [point["steps"] for point in curve],
            "delta": [{k: v for k, v in point.items() if k != "steps"} for point in curve],
        }
        if curve
        else None,
        "usage": plain(part.usage.mean(axis=0)) if part.usage.size else None,
        "transitions": _transitions(part),
        "picture": data_uri(part.picture),
    }


def _flops(entry: Entry, part: Part, system: System) -> float | None:
    """Operations per sample and step of the route's networks; null of closed forms."""
    router = parse_route(entry.router).router
    learned = (system.default_router if router is None else router.name) == "learned"
    found = system.flops.of_run(part.calls, float(learned), monolith=entry.kind == "reference")
    return found or None


def _transitions(part: Part) -> Any:
    """Share of the steps led by expert i after which j leads [i, j]; null where i never leads."""
    if "leader" not in part.series or not part.usage.size:
        return None
    leader, count = part.series["leader"].astype(int), part.usage.shape[1]
    steps = [transitions(leader, count, i, i + 1) for i in range(len(leader) - 1)]
    total = np.sum(steps, axis=0) if steps else np.zeros((count, count))
    with np.errstate(invalid="ignore", divide="ignore"):
        return plain(total / total.sum(axis=1, keepdims=True))


def _mean(values: Array) -> dict[str, Any]:
    return curve(np.asarray(values)[None])[0].to_json()


def _images(own: Sequence[Measured], m: Measurements, store: Store) -> dict[str, Array]:
    out: dict[str, Array] = {}
    for one in own:
        if one.entry.router in (m.sparse, m.full) and one.judged is not None and one.part.run:
            try:
                out[one.entry.router] = store.samples(one.part.run).images
            except RequestError:
                continue  # the run was deleted since; its numbers are not lost
    return out
