"""Perturbation growth: a twin that starts a little beside the sample and gets the same noise.

growth_i = |x'_s - x_s| / h,    x'_T = x_T + h u,  u a random unit vector of the sample's seed
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
from ddm_core.trace import Variable

__all__ = ["PerturbationGrowth", "PerturbationGrowthFrozen"]


def _twin(scene: Scene, h: float, *, frozen: bool) -> Meter:
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
        return (where - step.x_s).flatten(1).norm(dim=1) / h

    return meter


@register
@dataclasses.dataclass(frozen=True)
class PerturbationGrowth(Probe):
    """How far a twin has moved away, each step relative to the start; the twin is routed anew.

    In float32 keep h well above 1e-4 |x_T|: below, rounding grows instead of the perturbation.
    """

    name = "perturbation_growth"
    variable = Variable(name, ("step", "sample"), "|dx_s| / |dx_T|, twin re-routed")
    costly: ClassVar[bool] = True
    mixes: ClassVar[float] = 1.0
    of_experts: ClassVar[bool] = False

    h: float = setting(0.01, "length of the perturbation of x_T", low=1e-9, high=100.0)

    def begin(self, scene: Scene) -> Meter:
        return _twin(scene, self.h, frozen=False)


@register
@dataclasses.dataclass(frozen=True)
class PerturbationGrowthFrozen(Probe):
    """The same, the twin mixed with the weights of the unperturbed sample."""

    name = "perturbation_growth_frozen"
    variable = Variable(name, ("step", "sample"), "|dx_s| / |dx_T|, weights frozen")
    costly: ClassVar[bool] = True
    mixes: ClassVar[float] = 1.0
    of_experts: ClassVar[bool] = False

    h: float = setting(0.01, "length of the perturbation of x_T", low=1e-9, high=100.0)

    def begin(self, scene: Scene) -> Meter:
        return _twin(scene, self.h, frozen=True)
