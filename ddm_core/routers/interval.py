"""An expert per stretch of noise levels, for experts that were trained so."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from ddm_core.ensemble import State
from ddm_core.errors import RequestError
from ddm_core.registry import setting
from ddm_core.routers.base import Router, register
from ddm_core.systems.base import System

__all__ = ["Interval"]


@register
@dataclasses.dataclass(frozen=True)
class Interval(Router):
    """The expert of the noise level: expert 0 from pure noise down to the first boundary.

    References:
        eDiff-I: Text-to-Image Diffusion Models with an Ensemble of Expert Denoisers
            (Balaji et al., 2022)
    """

    name = "interval"

    boundaries: str = setting(
        "", "noise levels between experts, falling, as in 0.7-0.3; even stretches where empty"
    )

    def __post_init__(self) -> None:
        levels = self._levels()
        if any(not 0 < t < 1 for t in levels) or sorted(set(levels), reverse=True) != levels:
            raise ValueError(f"boundaries={self.boundaries} must fall between 1 and 0")

    def _levels(self) -> list[float]:
        try:
            return [float(text) for text in self.boundaries.split("-")] if self.boundaries else []
        except ValueError:
            raise ValueError(
                f"boundaries={self.boundaries} are no numbers with '-' between"
            ) from None

    def bind(self, system: System) -> Callable[[State], Tensor]:
        experts = len(system.experts)
        levels = self._levels() or [1 - k / experts for k in range(1, experts)]
        if len(levels) != experts - 1:
            raise RequestError(
                f"{experts} experts of system '{system.name}' have {experts - 1} boundaries "
                f"between them, not {len(levels)}"
            )

        def logits(state: State) -> Tensor:
            bounds = state.t.new_tensor(levels)
            expert = (state.t[:, None] < bounds).sum(dim=1, keepdim=True)
            x = state.x_t.new_full((len(state.x_t), experts), -torch.inf)
            return x.scatter(1, expert, 0.0)

        return logits

    def fitted(self, system: System) -> float:
        """1: it gives the same probabilities at every temperature."""
        return 1.0
