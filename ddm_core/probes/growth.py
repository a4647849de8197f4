"""Perturbation growth: a twin that starts a little beside the sample and gets the same noise.

growth_i = |x'_s - x_s| / h,    x'_T = x_T + h u,  u a random unit vector of the sample's seed

A twin that strays far no longer tells how a *small* perturbation grows. Renormalised, it is put
back to the distance h after every step, in the direction in which it strayed, and the growths of
the steps are multiplied.

References:
    Lyapunov Characteristic Exponents for Smooth Dynamical Systems and for Hamiltonian Systems
    (Benettin, Galgani, Giorgilli and Strelcyn, 1980)
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from ddm_core.ensemble import Ensemble, Mixture
from ddm_core.probes.base import Meter, Probe, Scene, register
from ddm_core.registry import setting
from ddm_core.rollout import Segment, Step, bound, segment_at
from ddm_core.schedules import expand
from ddm_core.trace import Variable

__all__ = [
    "GrowthRate",
    "PerturbationGrowth",
    "PerturbationGrowthFrozen",
    "PerturbationGrowthRenormalised",
]


def _twin(scene: Scene, h: float, *, frozen: bool = False, renormalised: bool = False) -> Meter:
    """|dx_s| / h at the end of each step; renormalised: of a twin that began the step at h."""
    sampler = scene.sampler
    if sampler is None:
        # Real data noised to every t are no trajectory: nothing grows.
        return lambda step: torch.full_like(step.x_t.flatten(1)[:, 0], torch.nan)
    segments = scene.segments or (Segment(scene.ensemble, sampler, scene.condition),)
    where: Tensor | None = None
    before: Mixture | None = None

    def meter(step: Step) -> Tensor:
        nonlocal where, before
        if where is None:
            where = step.x_t + h * scene.noise.direction()
        weights = step.mixture.weights if frozen else None
        # Where the sample's path changes hands, the twin's does.
        part = segment_at(segments, step.index)
        # The twin runs the experts that it needs and no more, whatever the recorded run shows.
        own = Ensemble(part.ensemble.experts, part.ensemble.route, part.ensemble.schedule)
        mix = bound(own, part.condition, part.memory(step.index, before), step.draw, weights)
        done = part.sampler.step(mix, own.schedule, where, step.t, step.s, step.noise)
        where, before = done.x_s, done.mixture
        away = where - step.x_s
        growth = away.flatten(1).norm(dim=1) / h
        if renormalised:
            # A twin that fell onto the sample stays there: it has no direction any more.
            where = step.x_s + away / expand(growth.clamp_min(_least(growth)), away)
        return growth

    return meter


@dataclasses.dataclass(frozen=True)
class _OfTwin(Probe):
    """What a twin says: as many evaluations as the run's own."""

    costly: ClassVar[bool] = True
    mixes: ClassVar[float] = 1.0
    of_experts: ClassVar[bool] = False


@dataclasses.dataclass(frozen=True)
class _Free(_OfTwin):
    """A twin that begins beside the sample and goes where it goes."""

    h: float = setting(0.01, "length of the perturbation of x_T", low=1e-9, high=100.0)


@dataclasses.dataclass(frozen=True)
class _Renormalised(_OfTwin):
    """A twin that is put back to the same distance after every step."""

    h: float = setting(0.01, "distance of the twin at the start of a step", low=1e-9, high=100.0)


@register
@dataclasses.dataclass(frozen=True)
class PerturbationGrowth(_Free):
    """How far a twin has moved away, each step relative to the start; the twin is routed anew.

    In float32 keep h well above 1e-4 |x_T|: below, rounding grows instead of the perturbation.
    """

    name = "perturbation_growth"
    variable = Variable(name, ("step", "sample"), "|dx_s| / |dx_T|, twin re-routed")

    def begin(self, scene: Scene) -> Meter:
        return _twin(scene, self.h)


@register
@dataclasses.dataclass(frozen=True)
class PerturbationGrowthFrozen(_Free):
    """The same, the twin mixed with the weights of the unperturbed sample."""

    name = "perturbation_growth_frozen"
    variable = Variable(name, ("step", "sample"), "|dx_s| / |dx_T|, weights frozen")

    def begin(self, scene: Scene) -> Meter:
        return _twin(scene, self.h, frozen=True)


@register
@dataclasses.dataclass(frozen=True)
class PerturbationGrowthRenormalised(_Renormalised):
    """The same, the twin re-routed and put back to its first distance after every step."""

    name = "perturbation_growth_renormalised"
    variable = Variable(
        name, ("step", "sample"), "prod over steps of |dx_s| / h, twin put back to h (Benettin)"
    )

    def begin(self, scene: Scene) -> Meter:
        twin = _twin(scene, self.h, renormalised=True)
        total: Tensor | None = None

        def meter(step: Step) -> Tensor:
            nonlocal total
            # Summed as logarithms: a product of hundreds of steps leaves the range of float32.
            logs = _log(twin(step))
            total = logs if total is None else total + logs
            return total.exp()

        return meter


@register
@dataclasses.dataclass(frozen=True)
class GrowthRate(_Renormalised):
    """How fast a small perturbation grows in each step, per unit of time; negative: it shrinks.

    Its mean over the path, weighted by the steps' lengths, is the finite-time Lyapunov exponent.
    """

    name = "growth_rate"
    variable = Variable(
        name, ("step", "sample"), "ln(|dx_s| / h) / |t - s|, twin put back to h (Benettin)"
    )

    def begin(self, scene: Scene) -> Meter:
        twin = _twin(scene, self.h, renormalised=True)
        return lambda step: _log(twin(step)) / max(abs(step.t - step.s), 1e-12)


def _least(x: Tensor) -> float:
    return torch.finfo(x.dtype).tiny


def _log(growth: Tensor) -> Tensor:
    return growth.clamp_min(_least(growth)).log()
