"""One expert, drawn anew at every step."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from ddm_core.ensemble import Decision, Moment
from ddm_core.strategies.base import Strategy, one_hot, register

__all__ = ["Sample", "drawn"]


def drawn(probabilities: Tensor, draw: Tensor) -> Tensor:
    """Expert [sample] with k ~ p, by inversion of draw [sample] in [0, 1)."""
    cumulative = probabilities.cumsum(dim=1)
    # Scaled by the total, which rounding leaves a little off 1; an expert of probability 0 spans
    # nothing.
    return (
        (cumulative <= draw[:, None] * cumulative[:, -1:])
        .sum(dim=1)
        .clamp_max(probabilities.shape[1] - 1)
    )


@register
@dataclasses.dataclass(frozen=True)
class Sample(Strategy):
    """k ~ p at every step: an unbiased estimate of the full ensemble at the cost of one expert."""

    name = "sample"
    asks: ClassVar[int | str | None] = 1
    draws: ClassVar[bool] = True

    def decide(self, probabilities: Tensor, moment: Moment) -> Decision:
        assert moment.draw is not None  # draws
        return Decision(one_hot(drawn(probabilities, moment.draw), probabilities))
