"""Always the same expert."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import Tensor

from ddm_core.ensemble import State
from ddm_core.errors import RequestError
from ddm_core.registry import setting
from ddm_core.routers.base import Router, register
from ddm_core.systems.base import System

__all__ = ["Fixed"]


@register
@dataclasses.dataclass(frozen=True)
class Fixed(Router):
    """One expert for every state: what an expert makes of data that it never saw."""

    name = "fixed"

    expert: int = setting(0, "number of the expert, from 0", low=0, told=True)

    def bind(self, system: System) -> Callable[[State], Tensor]:
        experts = len(system.experts)
        if self.expert >= experts:
            raise RequestError(
                f"no expert {self.expert}; system '{system.name}' has experts 0 to {experts - 1}"
            )

        def logits(state: State) -> Tensor:
            x = state.x_t.new_full((len(state.x_t), experts), -float("inf"))
            x[:, self.expert] = 0.0
            return x

        return logits

    def fitted(self, system: System) -> float:
        """1: it gives the same probabilities at every temperature."""
        return 1.0
