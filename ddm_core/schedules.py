"""Noise schedules: x_t = alpha_t x_0 + sigma_t eps, and what follows from knowing the velocity.

The velocity is v = d x_t / dt = alpha'_t x_0 + sigma'_t eps. Time runs from 1 (noise) to 0 (data).
Everything is mixed and recorded as velocity; x_0 and eps are affine in it, so that weights which
sum to one mix all three alike.

References:
    Flow Matching for Generative Modeling (Lipman et al., 2023)
    Score-Based Generative Modeling through Stochastic Differential Equations (Song et al., 2021)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from ddm_core.errors import unknown

__all__ = [
    "Cosine",
    "Linear",
    "Schedule",
    "VariancePreserving",
    "expand",
    "schedule_named",
]


def expand(t: Tensor, x: Tensor) -> Tensor:
    """t [] or [sample] as [sample, 1, ...], ready to multiply x [sample, *]."""
    return t if t.ndim == 0 else t.reshape(-1, *[1] * (x.ndim - 1))


class Schedule(ABC):
    """alpha_t and sigma_t with their derivatives. All methods take t [] or [sample]."""

    name: ClassVar[str]
    #: Where sampling starts: alpha may be 0 there on the linear path, not where v -> x_0 divides.
    t_max: ClassVar[float] = 1.0

    @abstractmethod
    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(alpha_t, sigma_t), shaped like t."""

    @abstractmethod
    def derivatives(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """(alpha'_t, sigma'_t), shaped like t."""

    def times(self, steps: int) -> list[float]:
        """[t_max, ..., 0], evenly spaced, steps + 1 of them."""
        return [self.t_max * (1 - i / steps) for i in range(steps + 1)]

    def noised(self, x_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """x_t [sample, *]."""
        alpha_t, sigma_t = (expand(a, x_0) for a in self.alpha_sigma(t))
        return alpha_t * x_0 + sigma_t * eps

    def velocity(self, x_0: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """v [sample, *] of the pair (x_0, eps)."""
        d_alpha, d_sigma = (expand(a, x_0) for a in self.derivatives(t))
        return d_alpha * x_0 + d_sigma * eps

    def x_0(self, x_t: Tensor, v: Tensor, t: Tensor) -> Tensor:
        """The clean image that (x_t, v) predicts.

        (sigma' x_t - sigma v) / (alpha sigma' - alpha' sigma)
        """
        alpha, sigma, d_alpha, d_sigma = self._all(x_t, t)
        return (d_sigma * x_t - sigma * v) / (alpha * d_sigma - d_alpha * sigma)

    def eps(self, x_t: Tensor, v: Tensor, t: Tensor) -> Tensor:
        """The noise that (x_t, v) predicts.

        (alpha v - alpha' x_t) / (alpha sigma' - alpha' sigma)
        """
        alpha, sigma, d_alpha, d_sigma = self._all(x_t, t)
        return (alpha * v - d_alpha * x_t) / (alpha * d_sigma - d_alpha * sigma)

    def v_from_x_0(self, x_t: Tensor, x_0: Tensor, t: Tensor) -> Tensor:
        """The velocity at x_t that points to x_0; t > 0."""
        alpha, sigma, d_alpha, d_sigma = self._all(x_t, t)
        return d_alpha * x_0 + d_sigma * (x_t - alpha * x_0) / sigma

    def v_from_eps(self, x_t: Tensor, eps: Tensor, t: Tensor) -> Tensor:
        """The velocity at x_t that comes from eps; needs alpha_t > 0."""
        alpha, sigma, d_alpha, d_sigma = self._all(x_t, t)
        return d_alpha * (x_t - sigma * eps) / alpha + d_sigma * eps

    def _all(self, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        alpha, sigma = self.alpha_sigma(t)
        d_alpha, d_sigma = self.derivatives(t)
        return (
            expand(alpha, x),
            expand(sigma, x),
            expand(d_alpha, x),
            expand(d_sigma, x),
        )


class Linear(Schedule):
    """Rectified flow: x_t = (1 - t) x_0 + t eps, v = eps - x_0."""

    name = "linear"

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, t

    def derivatives(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return -torch.ones_like(t), torch.ones_like(t)


class Cosine(Schedule):
    """alpha_t = cos(pi t / 2), sigma_t = sin(pi t / 2): variance preserving."""

    name = "cosine"
    t_max = 0.999

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.cos(math.pi / 2 * t), torch.sin(math.pi / 2 * t)

    def derivatives(self, t: Tensor) -> tuple[Tensor, Tensor]:
        angle = math.pi / 2 * t
        return -math.pi / 2 * torch.sin(angle), math.pi / 2 * torch.cos(angle)


class VariancePreserving(Schedule):
    """The continuous limit of DDPM's linear betas: log alpha_t = -t^2 (b - a) / 4 - t a / 2.

    Arguments:
        beta_min, beta_max: a and b; 0.1 and 20 are 1000 steps from 1e-4 to 0.02.
    """

    name = "vp"

    def __init__(self, beta_min: float = 0.1, beta_max: float = 20.0) -> None:
        self.beta_min = beta_min
        self.beta_max = beta_max

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        log_alpha = -(t**2) * (self.beta_max - self.beta_min) / 4 - t * self.beta_min / 2
        return torch.exp(log_alpha), torch.sqrt(-torch.expm1(2 * log_alpha))

    def derivatives(self, t: Tensor) -> tuple[Tensor, Tensor]:
        alpha, sigma = self.alpha_sigma(t)
        d_log_alpha = -t * (self.beta_max - self.beta_min) / 2 - self.beta_min / 2
        return alpha * d_log_alpha, -(alpha**2) * d_log_alpha / sigma


_SCHEDULES: dict[str, type[Schedule]] = {s.name: s for s in (Linear, Cosine, VariancePreserving)}


def schedule_named(name: str) -> Schedule:
    """The schedule that a checkpoint names."""
    if name not in _SCHEDULES:
        raise unknown("schedule", name, _SCHEDULES)
    return _SCHEDULES[name]()
