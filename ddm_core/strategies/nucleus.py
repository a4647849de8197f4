"""The smallest set of experts that holds most of the probability."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from ddm_core.registry import setting
from ddm_core.strategies.base import MemorylessStrategy, kept, register

__all__ = ["Nucleus"]


@register
@dataclasses.dataclass(frozen=True)
class Nucleus(MemorylessStrategy):
    """The fewest experts with a total probability of at least p, renormalised.

    References:
        The Curious Case of Neural Text Degeneration (Holtzman et al., 2020)
    """

    name = "nucleus"

    p: float = setting(
        0.9, "probability that the chosen experts hold together", low=0.0, high=1.0, told=True
    )

    def weights(self, probabilities: Tensor) -> Tensor:
        ordered, order = probabilities.sort(dim=1, descending=True, stable=True)
        # An expert is kept while the mass before it has not reached p; the first one always is.
        before = ordered.cumsum(dim=1) - ordered
        keep_ordered = before < self.p
        keep_ordered[:, 0] = True
        keep = torch.zeros_like(keep_ordered).scatter(1, order, keep_ordered)
        return kept(probabilities, keep)
