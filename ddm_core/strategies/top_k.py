"""The k likeliest experts."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from ddm_core.registry import setting
from ddm_core.strategies.base import MemorylessStrategy, kept, ranked, register

__all__ = ["TopK", "largest"]


def largest(probabilities: Tensor, k: int) -> Tensor:
    """The k largest of probabilities [sample, expert], divided by their sum."""
    keep = torch.zeros_like(probabilities, dtype=torch.bool)
    keep = keep.scatter(1, ranked(probabilities, k), True)
    return kept(probabilities, keep)


@register
@dataclasses.dataclass(frozen=True)
class TopK(MemorylessStrategy):
    """The k largest probabilities, divided by their sum; all experts where there are fewer."""

    name = "top_k"
    asks: ClassVar[int | str | None] = "k"

    k: int = setting(2, "experts per sample and step", low=1, told=True)

    def weights(self, probabilities: Tensor) -> Tensor:
        return largest(probabilities, self.k)
