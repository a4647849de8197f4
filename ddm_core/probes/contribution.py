"""Who painted this pixel: what every expert's weighted velocities add up to along the path."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ddm_core.probes.base import Meter, Probe, Scene, register
from ddm_core.rollout import Step
from ddm_core.schedules import expand
from ddm_core.trace import Variable

__all__ = ["Contribution", "increments"]


def increments(step: Step) -> Tensor:
    """(s - t) w_k v_k(x_t) of one step, [sample, expert, *]; zero where an expert was not asked.

    Summed over experts and steps they are x_0 - x_T where the sampler is Euler's. Of a sampler
    with several stages they are those of the first; a stochastic one adds noise of its own.
    """
    v, weights = step.mixture.experts, step.mixture.weights
    assert v is not None  # needs_all_experts
    # An expert that was not asked has weight 0 and may have no velocity (nan).
    some = expand((weights > 0).flatten(), v.flatten(0, 1)).unflatten(0, weights.shape)
    scaled = expand((step.s - step.t) * weights.flatten(), v.flatten(0, 1))
    return torch.where(some, scaled.unflatten(0, weights.shape) * v, 0.0)


@register
@dataclasses.dataclass(frozen=True)
class Contribution(Probe):
    """Each expert's share of what was painted at a pixel up to a step, of the first samples."""

    name = "contribution"
    variable = Variable(
        name,
        ("step", "shown", "expert", "height", "width"),
        "|c_k| / sum_j |c_j| at each pixel, c_k = sum over the steps so far of (s - t) w_k v_k, "
        "|.| over channels, in 255ths; x_T + sum_k c_k = x_0 with Euler's method",
        "1/255",
    )
    needs_all_experts: ClassVar[bool] = True
    images_only: ClassVar[bool] = True

    def begin(self, scene: Scene) -> Meter:
        painted: list[Tensor] = []  # the sums so far; bytes leave, numbers stay
        size: list[tuple[int, int]] = []

        def meter(step: Step) -> Tensor:
            added = increments(step)[: scene.shown]
            painted[:] = [painted[0] + added if painted else added]
            if not size:
                height, width = scene.system.decoder(step.mixture.mean[:1]).shape[-2:]
                size.append((height, width))
            return _shares(painted[0], size[0])

        return meter


def _shares(painted: Tensor, size: tuple[int, int]) -> Tensor:
    """uint8 [shown, expert, height, width] of the sums [shown, expert, channel, *]."""
    amount = painted.norm(dim=2)
    if amount.shape[-2:] != size:
        # A latent's pixel stands for all those that are decoded from its place.
        amount = functional.interpolate(amount, size=size, mode="nearest")
    total = amount.sum(dim=1, keepdim=True)
    share = torch.where(total > 0, amount / total, 0.0)
    return (255 * share).round().to(torch.uint8)
