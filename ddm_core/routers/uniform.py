"""Every expert alike: the ablation of routing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import Tensor

from ddm_core.ensemble import State
from ddm_core.routers.base import Router, register
from ddm_core.systems.base import System

__all__ = ["Uniform"]


@register
@dataclasses.dataclass(frozen=True)
class Uniform(Router):
    """The same probability for every expert, whatever the state."""

    name = "uniform"

    def bind(self, system: System) -> Callable[[State], Tensor]:
        experts = len(system.experts)
        return lambda state: state.x_t.new_zeros(len(state.x_t), experts)

    def fitted(self, system: System) -> float:
        """1: it gives the same probabilities at every temperature."""
        return 1.0
