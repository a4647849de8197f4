"""Heun's method on the probability-flow ODE: two evaluations, second order."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from ddm_core.samplers.base import Mix, Sampler, Transition, register
from ddm_core.schedules import Schedule

__all__ = ["Heun"]


@register
@dataclasses.dataclass(frozen=True)
class Heun(Sampler):
    """x_s = x_t + (s - t) (v(x_t, t) + v(x_s', s)) / 2 with Euler's x_s'; plain Euler into s = 0.

    At s = 0 the state is clean and a network has not been trained there.

    References:
        Elucidating the Design Space of Diffusion-Based Generative Models (Karras et al., 2022)
    """

    name = "heun"
    order = 2
    stages = 2

    def step(
        self,
        mix: Mix,
        schedule: Schedule,
        x_t: Tensor,
        t: float,
        s: float,
        noise: Tensor | None,
    ) -> Transition:
        first = mix(x_t, t)
        x_s = x_t + (s - t) * first.velocity
        if s == 0:
            return Transition(x_s, first, first.calls)
        second = mix(x_s, s, first)
        x_s = x_t + (s - t) * (first.velocity + second.velocity) / 2
        return Transition(x_s, first, first.calls + second.calls)
