"""One expert, drawn at the first step and kept."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from ddm_core.ensemble import Decision, Moment
from ddm_core.strategies.base import Strategy, one_hot, register
from ddm_core.strategies.sample import drawn

__all__ = ["SampleOnce"]


@register
@dataclasses.dataclass(frozen=True)
class SampleOnce(Strategy):
    """k ~ p at the first step, the same expert ever after."""

    name = "sample_once"
    asks: ClassVar[int | str | None] = 1
    draws: ClassVar[bool] = True

    def decide(self, probabilities: Tensor, moment: Moment) -> Decision:
        expert = moment.memory
        if expert is None:
            assert moment.draw is not None  # draws
            expert = drawn(probabilities, moment.draw)
        return Decision(one_hot(expert, probabilities), expert)
