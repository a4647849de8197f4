"""Euler's method on the probability-flow ODE."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from ddm_core.samplers.base import Mix, Sampler, Transition, register
from ddm_core.schedules import Schedule

__all__ = ["Euler"]


@register
@dataclasses.dataclass(frozen=True)
class Euler(Sampler):
    """x_s = x_t + (s - t) v(x_t, t). On the linear path it equals ddim with eta = 0."""

    name = "euler"

    def step(
        self,
        mix: Mix,
        schedule: Schedule,
        x_t: Tensor,
        t: float,
        s: float,
        noise: Tensor | None,
    ) -> Transition:
        mixture = mix(x_t, t)
        return Transition(x_t + (s - t) * mixture.velocity, mixture, mixture.calls)
