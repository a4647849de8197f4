"""The experts above a probability."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ddm_core.registry import setting
from ddm_core.strategies.base import MemorylessStrategy, kept, register

__all__ = ["Threshold"]


@register
@dataclasses.dataclass(frozen=True)
class Threshold(MemorylessStrategy):
    """Experts with p_k >= tau, renormalised; the likeliest where there is none."""

    name = "threshold"

    tau: float = setting(
        0.1, "smallest probability of a chosen expert", low=0.0, high=1.0, told=True
    )

    def weights(self, probabilities: Tensor) -> Tensor:
        best = torch.zeros_like(probabilities, dtype=torch.bool)
        best = best.scatter(1, probabilities.argmax(dim=1, keepdim=True), True)
        return kept(probabilities, (probabilities >= self.tau) | best)
