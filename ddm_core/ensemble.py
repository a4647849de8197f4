"""An ensemble of experts with a route is again a denoiser. Dispatch lives here and nowhere else.

    v(x_t) = sum_k w_k v_k(x_t),    w = strategy(p),    p = router(x_t, t)

Samples are grouped by expert: each expert runs once per step on the samples that asked for it. An
expert whose weight is zero does not run on a sample, unless a probe wants to see it (`dense`);
what is run for probes is run apart, so that a recorded sample is bit for bit the unrecorded one.

References:
    Decentralized Diffusion Models (McAllister et al., 2025)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ddm_core.cuda_graphs import replaying, side_by_side
from ddm_core.denoise import Denoiser
from ddm_core.schedules import Schedule, expand

__all__ = ["Decision", "Ensemble", "Memory", "Mixture", "Moment", "Route", "State"]

# Rows of one forward pass on a CPU: larger batches leave the caches and cost more per sample.
# Points fit in there by the thousand, and the overhead of a pass is all that they cost.
CPU_ROWS = 32
CPU_ROWS_OF_POINTS = 4096
POINT = 16  # numbers that a point has at most


class State(NamedTuple):
    """Where a sample is: all that a router may look at."""

    x_t: Tensor  # [sample, *]
    t: Tensor  # [sample]
    x_0: (
        Tensor | None
    )  # [sample, *], the last prediction of the clean sample; None before the first


class Moment(NamedTuple):
    """What a strategy may use beside the probabilities."""

    t: Tensor  # [sample]
    memory: Tensor | None  # what it returned one step ago; None at the first step
    draw: Tensor | None  # [sample] in [0, 1), one per sample and step, if it asked for draws


class Decision(NamedTuple):
    """A strategy's answer."""

    weights: Tensor  # [sample, expert], on the simplex; zero = not run
    memory: Tensor | None = None  # [sample, ...], handed back at the next step


class Route(NamedTuple):
    """A router and a strategy, bound to a system."""

    logits: Callable[[State], Tensor]  # -> [sample, expert], unnormalised log-probabilities
    temperature: float
    decide: Callable[[Tensor, Moment], Decision]
    needs_x_0: bool = False  # the router looks at the predicted clean sample
    draws: bool = False  # the strategy needs random numbers
    #: Weights [sample, expert], and velocities of the experts asked [sample, expert, *] -> weights
    revise: Callable[[Tensor, Tensor], Tensor] | None = None


class Memory(NamedTuple):
    """What routing carries from one step to the next."""

    strategy: Tensor | None = None
    x_0: Tensor | None = None


class Mixture(NamedTuple):
    """What the ensemble says at one state."""

    velocity: Tensor  # [sample, *]
    mean: Tensor  # x0_hat [sample, *]
    probabilities: Tensor  # [sample, expert], the router's
    weights: Tensor  # [sample, expert], the strategy's
    experts: Tensor | None  # velocities [sample, expert, *], nan where not run; None if not kept
    calls: Tensor  # [sample], expert evaluations that sampling needed here
    memory: Memory


class Ensemble(Denoiser):
    """Experts mixed by a route. A monolith is an ensemble of one.

    Arguments:
        experts: denoisers on one schedule.
        dense: run every expert on every sample, so that probes can look at all of them.
        keep: keep the velocity of every expert that ran (needs memory [sample, expert, *]).
    """

    def __init__(
        self,
        experts: Sequence[Denoiser],
        route: Route,
        schedule: Schedule,
        *,
        dense: bool = False,
        keep: bool = False,
    ) -> None:
        super().__init__(schedule)
        self.experts = tuple(experts)
        self.route = route
        self.dense = dense
        self.keep = keep or dense

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        """The routed velocity [sample, *], without memory of earlier steps."""
        return self.mix(x_t, t, condition).velocity

    @replaying()
    def mix(
        self,
        x_t: Tensor,
        t: Tensor,
        condition: Tensor | None = None,
        *,
        memory: Memory | None = None,
        draw: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> Mixture:
        """The mixture at x_t [sample, *], t [sample].

        Arguments:
            memory: of the step before.
            draw: random numbers [sample], for strategies that draw.
            weights: take these [sample, expert] instead of asking the route (frozen weights).
        """
        memory = memory or Memory()
        calls = torch.zeros(len(x_t), dtype=torch.long, device=x_t.device)
        x_0 = memory.x_0
        if self.route.needs_x_0 and x_0 is None:
            # Nothing has been predicted yet: the mean over all experts stands in, at K calls.
            everyone = torch.ones(len(x_t), len(self.experts), dtype=torch.bool, device=x_t.device)
            uniform = everyone.to(x_t.dtype) / len(self.experts)
            v, _ = self._run(everyone, uniform, x_t, t, condition, None)
            x_0 = self.schedule.x_0(x_t, v, t)
            calls = calls + len(self.experts)
        logits = self.route.logits(State(x_t, t, x_0))
        probabilities = torch.softmax(logits / self.route.temperature, dim=1)
        decision = self.route.decide(probabilities, Moment(t, memory.strategy, draw))
        revise = self.route.revise if weights is None else None
        if weights is None:
            weights = decision.weights
        asked = weights > 0
        experts: Tensor | None = None
        if self.keep or revise is not None:
            experts = x_t.new_full((len(x_t), len(self.experts), *x_t.shape[1:]), torch.nan)
        velocity, experts = self._run(asked, weights, x_t, t, condition, experts)
        if revise is not None and experts is not None:
            weights = revise(weights, experts)
            # What was not asked is no number, and must not meet its weight of zero.
            share = weights.reshape(*weights.shape, *[1] * (x_t.ndim - 1))
            velocity = (share * torch.where(share > 0, experts, 0.0)).sum(dim=1)
        if self.dense:
            _, experts = self._run(~asked, None, x_t, t, condition, experts)
        mean = self.schedule.x_0(x_t, velocity, t)
        return Mixture(
            velocity,
            mean,
            probabilities,
            weights,
            experts if self.keep else None,
            calls + asked.sum(dim=1),
            Memory(decision.memory, mean if self.route.needs_x_0 else None),
        )

    def _run(
        self,
        pairs: Tensor,
        weights: Tensor | None,
        x_t: Tensor,
        t: Tensor,
        condition: Tensor | None,
        experts: Tensor | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Run each expert on its samples; the weighted sum, and all velocities put into `experts`.

        The group sizes are the one thing the host must learn about a step: a kernel cannot be
        launched on a batch of unknown size. On a GPU this is one copy of K integers.
        """
        mixed = torch.zeros_like(x_t)
        sizes: list[int] = pairs.sum(dim=0).tolist()
        # Expert-major: the samples of expert 0 first, then those of expert 1, ... Gathered for all
        # experts at once: on a GPU every operation costs its launch.
        expert, sample = torch.nonzero_static(pairs.T, size=sum(sizes)).unbind(1)
        parts = list(_parts(sizes, x_t))
        lengths = [length for _, length in parts]
        x_parts, t_parts, rows = (
            torch.split(y, lengths) for y in (x_t[sample], t[sample], sample)
        )
        conditions: Sequence[Tensor | None] = [None] * len(parts)
        if condition is not None:
            conditions = torch.split(condition[sample], lengths)
        shares: Sequence[Tensor] = ()
        if weights is not None:
            shares = torch.split(expand(weights[sample, expert], x_t), lengths)
        calls = (
            (self.experts[k], (x, at, some))
            for (k, _), x, at, some in zip(parts, x_parts, t_parts, conditions, strict=True)
        )
        found: list[Tensor] = []
        # Out of place, so that derivatives can pass through.
        for place, v in enumerate(side_by_side(calls)):
            if weights is not None:
                mixed = mixed.index_add(0, rows[place], shares[place] * v)
            if experts is not None:
                found.append(v)
        if experts is not None and found:
            experts = experts.index_put((sample, expert), torch.cat(found))
        return mixed, experts


def _parts(sizes: Sequence[int], x_t: Tensor) -> Iterator[tuple[int, int]]:
    """Each expert with how many samples one pass of it takes; on a CPU there may be several."""
    most = max(sizes, default=0)
    if x_t.device.type == "cpu":
        most = CPU_ROWS if x_t[0].numel() > POINT else CPU_ROWS_OF_POINTS
    for k, size in enumerate(sizes):
        for start in range(0, size, most or 1):
            yield k, min(most, size - start)
