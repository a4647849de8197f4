"""The router network that was trained with the system."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import Tensor

from ddm_core.cuda_graphs import evaluate
from ddm_core.ensemble import State
from ddm_core.errors import RequestError
from ddm_core.routers.base import Router, register
from ddm_core.systems.base import System

__all__ = ["Learned"]


@register
@dataclasses.dataclass(frozen=True)
class Learned(Router):
    """The system's own network, trained to tell the cluster from the noisy state.

    References:
        Decentralized Diffusion Models (McAllister et al., 2025)
    """

    name = "learned"

    def bind(self, system: System) -> Callable[[State], Tensor]:
        net = system.router
        if net is None:
            raise RequestError(
                f"system '{system.name}' has no router network; take {system.default_router}, "
                "nearest, uniform or fixed"
            )
        return lambda state: evaluate(net, state.x_t, state.t)
