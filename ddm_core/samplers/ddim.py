"""DDIM: walk to s along the predicted clean sample and the predicted noise."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from ddm_core.samplers.base import Mix, Sampler, Transition, like, register
from ddm_core.schedules import Schedule

__all__ = ["Ddim"]


@register
@dataclasses.dataclass(frozen=True)
class Ddim(Sampler):
    """x_s = alpha_s x0_hat + sigma_s eps_hat, deterministic.

    References:
        Denoising Diffusion Implicit Models (Song et al., 2021)
    """

    name = "ddim"

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
        eps = schedule.eps(x_t, mixture.velocity, like(t, x_t))
        return Transition(schedule.noised(mixture.mean, eps, like(s, x_t)), mixture, mixture.calls)
