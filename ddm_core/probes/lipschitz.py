"""Local Lipschitz constants of the routed velocity field at the sample, by several definitions.

    J = sum_k w_k J_k + sum_k v_k (grad w_k)^T

The second term is the router's gradient times disagreement. Re-routed slopes hold both; with the
weights frozen only the first is left, and the difference of the two is what routing adds.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from ddm_core.ensemble import Ensemble
from ddm_core.probes.base import Meter, Probe, Scene, register
from ddm_core.registry import setting
from ddm_core.rollout import Step, bound
from ddm_core.samplers.base import Mix
from ddm_core.schedules import expand
from ddm_core.trace import Variable

__all__ = [
    "LocalLipschitz",
    "LocalLipschitzDifference",
    "LocalLipschitzDifferenceMax",
    "LocalLipschitzFrozen",
    "LocalLipschitzFrozenMax",
]


def _field(scene: Scene, step: Step, *, frozen: bool = False) -> Mix:
    here = scene.at(step.index)
    own = Ensemble(here.ensemble.experts, here.ensemble.route, here.ensemble.schedule)
    weights = step.mixture.weights if frozen else None
    return bound(own, here.condition, step.memory, step.draw, weights)


def _slopes(scene: Scene, step: Step, directions: int, h: float, *, frozen: bool) -> list[Tensor]:
    """|v(x+hu) - v(x-hu)| / 2h [sample] of random unit directions u."""
    mix = _field(scene, step, frozen=frozen)
    out: list[Tensor] = []
    for m in range(directions):
        u = scene.noise.direction(2 + step.index * directions + m)
        ahead = mix(step.x_t + h * u, step.t).velocity
        behind = mix(step.x_t - h * u, step.t).velocity
        out.append((ahead - behind).flatten(1).norm(dim=1) / (2 * h))
    return out


def _unit(x: Tensor) -> Tensor:
    norm = x.flatten(1).norm(dim=1)
    return x / expand(norm.clamp_min(torch.finfo(x.dtype).tiny), x)


@register
@dataclasses.dataclass(frozen=True)
class LocalLipschitz(Probe):
    """Top singular value of the Jacobian dv/dx of the routed field, router gradient included.

    Power iteration on J^T J, a JVP and a VJP each, warm started from the step before: a lower
    bound that rises to the singular value with the iterations. A little of a fresh direction is
    mixed in at each step: where another direction becomes the steepest, the old one may be an
    eigenvector still, and never leave.
    """

    name = "local_lipschitz"
    variable = Variable(name, ("step", "sample"), "sigma_max(dv/dx), power iteration")
    costly: ClassVar[bool] = True
    # A forward pass with its graph, and a JVP and a VJP per iteration.
    mixes: ClassVar[float] = 10.0
    differentiates: ClassVar[bool] = True
    of_experts: ClassVar[bool] = False

    iterations: int = setting(2, "power iterations per step", low=1, high=100)
    first: int = setting(8, "power iterations at the first step", low=1, high=1000)

    def begin(self, scene: Scene) -> Meter:
        u: Tensor | None = None

        def meter(step: Step) -> Tensor:
            nonlocal u
            mix = _field(scene, step)
            fresh = scene.noise.direction(1 + step.index)
            u = fresh if u is None else _unit(u + 0.3 * fresh)
            length = u.new_zeros(len(u))
            with torch.enable_grad():
                x = step.x_t.detach().requires_grad_(True)
                y = mix(x, step.t).velocity
                # J^T w as a function of a dummy w is linear: its own reverse pass is the JVP. One
                # graph serves all iterations, and unlike forward mode it may run in many threads.
                w = torch.zeros_like(y, requires_grad=True)
                (pullback,) = torch.autograd.grad(y, x, w, create_graph=True)
                for _ in range(self.first if step.index == 0 else self.iterations):
                    (pushed,) = torch.autograd.grad(pullback, w, u, retain_graph=True)
                    length = pushed.flatten(1).norm(dim=1)
                    (pulled,) = torch.autograd.grad(y, x, pushed, retain_graph=True)
                    u = _unit(pulled)
            return length.detach()

        return meter


@dataclasses.dataclass(frozen=True)
class _Slope(Probe):
    """Slopes of the field over random directions, by central differences.

    Central, because one-sided differences are off by percents in float32 at the step lengths where
    rounding does not show.
    """

    costly: ClassVar[bool] = True
    of_experts: ClassVar[bool] = False
    #: Whether the field is that of the sample's own weights, not of the router's at x + hu.
    frozen: ClassVar[bool] = False

    directions: int = setting(1, "random directions per step", low=1, high=100)
    h: float = setting(0.1, "step length", low=1e-9, high=100.0)

    def begin(self, scene: Scene) -> Meter:
        return lambda step: self.of(
            _slopes(scene, step, self.directions, self.h, frozen=self.frozen)
        )

    @staticmethod
    @abstractmethod
    def of(slopes: list[Tensor]) -> Tensor:
        """One number [sample] of the slopes [sample] of all directions."""


@dataclasses.dataclass(frozen=True)
class _MeanSlope(_Slope):
    mixes: ClassVar[float] = 2.0

    @staticmethod
    def of(slopes: list[Tensor]) -> Tensor:
        # One after another, as they always were summed.
        return sum(slopes[1:], start=slopes[0]) / len(slopes)


@dataclasses.dataclass(frozen=True)
class _LargestSlope(_Slope):
    mixes: ClassVar[float] = 8.0

    directions: int = setting(4, "random directions per step", low=1, high=100)

    @staticmethod
    def of(slopes: list[Tensor]) -> Tensor:
        return torch.stack(slopes).amax(dim=0)


@register
@dataclasses.dataclass(frozen=True)
class LocalLipschitzDifference(_MeanSlope):
    """Mean slope of the routed field over random directions, by central differences.

    A random direction sees a third or so of the largest singular value.
    """

    name = "local_lipschitz_difference"
    variable = Variable(
        name, ("step", "sample"), "mean over random unit u of |v(x+hu) - v(x-hu)| / 2h, re-routed"
    )


@register
@dataclasses.dataclass(frozen=True)
class LocalLipschitzDifferenceMax(_LargestSlope):
    """Largest slope of the routed field over random directions, by central differences."""

    name = "local_lipschitz_difference_max"
    variable = Variable(
        name, ("step", "sample"), "max over random unit u of |v(x+hu) - v(x-hu)| / 2h, re-routed"
    )


@register
@dataclasses.dataclass(frozen=True)
class LocalLipschitzFrozen(_MeanSlope):
    """Mean slope of the field with the sample's weights: what the experts add by themselves."""

    name = "local_lipschitz_frozen"
    variable = Variable(
        name,
        ("step", "sample"),
        "mean over random unit u of |v(x+hu) - v(x-hu)| / 2h, weights frozen",
    )
    frozen = True


@register
@dataclasses.dataclass(frozen=True)
class LocalLipschitzFrozenMax(_LargestSlope):
    """Largest slope of the field with the weights at the sample, over random directions."""

    name = "local_lipschitz_frozen_max"
    variable = Variable(
        name,
        ("step", "sample"),
        "max over random unit u of |v(x+hu) - v(x-hu)| / 2h, weights frozen",
    )
    frozen = True
