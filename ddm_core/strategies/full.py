"""All experts, weighted by the router."""

from __future__ import annotations

import dataclasses

from torch import Tensor

from ddm_core.strategies.base import MemorylessStrategy, register

__all__ = ["Full"]


@register
@dataclasses.dataclass(frozen=True)
class Full(MemorylessStrategy):
    """w = p: the marginal flow of the paper, K calls per sample and step."""

    name = "full"

    def weights(self, probabilities: Tensor) -> Tensor:
        return probabilities
