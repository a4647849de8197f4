"""What a route makes of noised real data, from the one dense pass: its loss, and what it loses.

    loss          |v_route - (eps - x_0)|^2 / dimension = w^T G w
    over_oracle   the loss beyond that of the same experts weighed by the true cluster
    over_best     the loss beyond that of the best convex weights, chosen in hindsight per item

The second part of a route's error is the router's; what remains is what the experts cannot do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddm_core.analysis.simplex import best_convex
from ddm_core.analysis.truth import Array, Truth
from ddm_core.ensemble import Moment
from ddm_core.errors import RequestError
from ddm_core.noise import Noise
from ddm_core.registry import spec
from ddm_core.routers.base import ROUTERS
from ddm_core.routes import parse_route
from ddm_core.systems.base import System

__all__ = [
    "Excess",
    "Floors",
    "best_convex",
    "chosen_against_not",
    "excess",
    "floors_of",
    "matrix",
    "route_weights",
    "routed_loss",
]


class Floors(NamedTuple):
    """Losses [time, sample] of the same experts under weights that no router can know."""

    oracle: Array
    best: Array


class Excess(NamedTuple):
    """A route's denoising loss, and what of it is the routing's fault; [time, sample] each."""

    loss: Array
    over_oracle: Array
    over_best: Array


def route_weights(truth: Truth, route: str, system: System, *, seed: int = 0) -> Array:
    """The weights [time, sample, expert] that a route gives at every noise level.

    Strategies with a memory see the noise levels as they do while sampling, from noise to data.
    The router `nearest` looks at the mean prediction of all experts.

    Raises:
        RequestError: the pass did not record what this route's router says.
    """
    parsed = parse_route(route)
    if parsed.strategy is None:
        raise RequestError("a monolith has no weights")
    if parsed.strategy.looks:
        raise RequestError(f"'{route}' decides by what experts say, which was not recorded")
    router = parsed.router or ROUTERS.parse(system.default_router)
    usual = spec(type(router)(temperature=router.temperature))
    if router.name not in truth.logits or spec(router) != usual:
        there = ", ".join(sorted(truth.logits))
        raise RequestError(
            f"what router '{spec(router)}' says was not recorded; there are: {there}"
        )
    logits = torch.from_numpy(truth.logits[router.name]).double()
    p = torch.softmax(logits / router.temperature_on(system), dim=2)
    if router.name == "oracle":
        # Of real data the cluster is known.
        p = torch.from_numpy(truth.oracle).double()
    noise = Noise(tuple(range(seed, seed + p.shape[1])), system.shape, torch.float64)
    out = torch.empty_like(p)
    memory: Tensor | None = None
    for step, index in enumerate(reversed(range(len(truth.times)))):
        t = torch.full((p.shape[1],), float(truth.times[index]), dtype=p.dtype)
        draw = noise.uniform(step) if parsed.strategy.draws else None
        decision = parsed.strategy.decide(p[index], Moment(t, memory, draw))
        out[index], memory = decision.weights, decision.memory
    return out.numpy()


def routed_loss(truth: Truth, weights: Array) -> Array:
    """w^T G w [time, sample]; what an expert says that is not asked counts nowhere."""
    asked = weights > 0
    pairs = asked[..., :, None] & asked[..., None, :]
    gram = np.where(pairs, truth.gram.astype(np.float64), 0.0)
    return np.einsum("...k,...kj,...j->...", weights, gram, weights)


def floors_of(truth: Truth) -> Floors:
    """What no route can be blamed for; the same for all routes, and dear: find it once."""
    oracle = routed_loss(truth, truth.oracle.astype(np.float64))
    return Floors(oracle, routed_loss(truth, best_convex(truth.gram)))


def excess(truth: Truth, weights: Array, floors: Floors) -> Excess:
    """The loss of a route and its two excesses."""
    loss = routed_loss(truth, weights)
    return Excess(loss, loss - floors.oracle, loss - floors.best)


def matrix(truth: Truth) -> tuple[Array, Array]:
    """Mean loss of every expert on the items of every cluster, and how many these are.

    Returns:
        [time, expert, cluster], nan where a cluster has no item; and [cluster].
    """
    own = np.einsum("tskk->tsk", truth.gram.astype(np.float64))
    count = own.shape[2]
    sizes = np.bincount(truth.clusters, minlength=count)
    member = np.eye(count)[truth.clusters]  # [sample, cluster]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.einsum("tsk,sc->tkc", own, member) / sizes, sizes


def chosen_against_not(truth: Truth, weights: Array) -> tuple[Array, Array]:
    """Loss of the chosen, weighted as they are, and mean loss of the others; [time, sample] each.

    The others are nan where all are chosen.
    """
    own = np.einsum("tskk->tsk", truth.gram.astype(np.float64))
    asked = weights > 0
    chosen = np.where(asked, weights * own, 0.0).sum(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        return chosen, np.where(asked, 0.0, own).sum(axis=2) / (~asked).sum(axis=2)
