"""Top-k where the chosen experts agree, Top-1 where they do not."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from ddm_core.angles import pairwise_angles
from ddm_core.ensemble import Decision, Moment
from ddm_core.registry import setting
from ddm_core.strategies.base import Strategy, one_hot, register
from ddm_core.strategies.top_k import largest

__all__ = ["DisagreementAware"]


@register
@dataclasses.dataclass(frozen=True)
class DisagreementAware(Strategy):
    """Top-k, but the likeliest alone where two of the chosen disagree by more than an angle.

    All k are asked, since nobody knows before whether they agree: it costs what Top-k costs.
    """

    name = "disagreement_aware"
    looks: ClassVar[bool] = True
    asks: ClassVar[int | str | None] = "k"

    k: int = setting(2, "experts per sample and step", low=1, told=True)
    angle: float = setting(0.5, "largest angle that still is agreement (rad)", low=0.0, high=3.15)

    def decide(self, probabilities: Tensor, moment: Moment) -> Decision:
        return Decision(largest(probabilities, self.k))

    @torch.no_grad()
    def revise(self, weights: Tensor, velocities: Tensor) -> Tensor:
        """The weights again, one-hot where the chosen disagree."""
        count = weights.shape[1]
        if count == 1:
            return weights
        i, j = torch.triu_indices(count, count, offset=1, device=weights.device)
        asked = weights > 0
        apart = pairwise_angles(velocities)
        widest = torch.where(asked[:, i] & asked[:, j], apart, 0.0).amax(dim=1, keepdim=True)
        return torch.where(widest > self.angle, one_hot(weights.argmax(dim=1), weights), weights)
