"""The least likely experts: the ablation of alignment."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from ddm_core.registry import setting
from ddm_core.strategies.base import MemorylessStrategy, ranked, register

__all__ = ["Wrong"]


@register
@dataclasses.dataclass(frozen=True)
class Wrong(MemorylessStrategy):
    """The k least likely experts, weighted evenly: sampling against the data."""

    name = "wrong"
    asks: ClassVar[int | str | None] = "k"

    k: int = setting(1, "experts per sample and step", low=1, told=True)

    def weights(self, probabilities: Tensor) -> Tensor:
        k = min(self.k, probabilities.shape[1])
        return torch.zeros_like(probabilities).scatter(1, ranked(-probabilities, k), 1.0 / k)
