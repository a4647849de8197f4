"""Who knows the cluster before anything is seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from torch import Tensor

from ddm_core.ensemble import State
from ddm_core.routers.base import Router, register
from ddm_core.systems.base import System

__all__ = ["Oracle"]


@register
@dataclasses.dataclass(frozen=True)
class Oracle(Router):
    """The true posterior where it is known, else the clusters' shares of the data, whatever x_t.

    With `sample_once` a sample's target belongs to a cluster, drawn from the shares and known from
    the first step to the last: what a router could reach that never errs. On noised real data the
    cluster is the item's own.

    References:
        Decentralized Diffusion Models (McAllister et al., 2025): the oracle of its ablations
    """

    name = "oracle"

    def bind(self, system: System) -> Callable[[State], Tensor]:
        posterior = system.posterior
        if posterior is not None:
            return lambda state: posterior(state.x_t, state.t)
        shares = system.clusters.proportions.log()
        return lambda state: shares.to(state.x_t.dtype).expand(len(state.x_t), -1)

    def fitted(self, system: System) -> float:
        """1: it means what it says."""
        return 1.0
