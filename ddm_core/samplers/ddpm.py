"""Ancestral sampling: DDIM with as much fresh noise as the reverse of the forward process has."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from ddm_core.samplers.base import Mix, Sampler, Transition, like, register
from ddm_core.schedules import Schedule

__all__ = ["Ddpm"]


@register
@dataclasses.dataclass(frozen=True)
class Ddpm(Sampler):
    """x_s = alpha_s x0_hat + sqrt(sigma_s^2 - g^2) eps_hat + g z.

    g^2 = sigma_s^2 / sigma_t^2 (sigma_t^2 - alpha_t^2 sigma_s^2 / alpha_s^2), the variance of
    q(x_s | x_t, x_0), on any schedule.

    References:
        Denoising Diffusion Probabilistic Models (Ho et al., 2020)
    """

    name = "ddpm"
    order = None
    stochastic = True

    def step(
        self,
        mix: Mix,
        schedule: Schedule,
        x_t: Tensor,
        t: float,
        s: float,
        noise: Tensor | None,
    ) -> Transition:
        assert noise is not None  # stochastic
        mixture = mix(x_t, t)
        eps = schedule.eps(x_t, mixture.velocity, like(t, x_t))
        alpha_t, sigma_t = schedule.alpha_sigma(like(t, x_t))
        alpha_s, sigma_s = schedule.alpha_sigma(like(s, x_t))
        # Clamped: rounding may leave the difference of two equal squares a little below zero.
        left = (1 - (alpha_t * sigma_s / (alpha_s * sigma_t)) ** 2).clamp_min(0)
        g = sigma_s * left.sqrt()
        rest = (sigma_s**2 - g**2).clamp_min(0).sqrt()
        x_s = alpha_s * mixture.mean + rest * eps + g * noise
        return Transition(x_s, mixture, mixture.calls)
