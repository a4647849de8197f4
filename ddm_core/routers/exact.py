"""The true posterior over clusters, where it is known in closed form."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import Tensor

from ddm_core.ensemble import State
from ddm_core.errors import RequestError
from ddm_core.routers.base import Router, register
from ddm_core.systems.base import System

__all__ = ["Exact"]


@register
@dataclasses.dataclass(frozen=True)
class Exact(Router):
    """p(k | x_t) in closed form; with exact experts over all of them it is the true flow."""

    name = "exact"

    def bind(self, system: System) -> Callable[[State], Tensor]:
        posterior = system.posterior
        if posterior is None:
            raise RequestError(
                f"system '{system.name}' has no closed-form posterior; take "
                f"{system.default_router}, nearest, uniform or fixed"
            )
        return lambda state: posterior(state.x_t, state.t)

    def fitted(self, system: System) -> float:
        """1: the true posterior means what it says."""
        return 1.0
