"""No router network: the experts whose cluster is closest."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor

from ddm_core.ensemble import State
from ddm_core.registry import setting
from ddm_core.routers.base import Router, register
from ddm_core.systems.base import Clusters, System

__all__ = ["Nearest", "nearness"]


def nearness(x_0: Tensor, clusters: Clusters, *, prior: bool = True) -> Tensor:
    """Logits [sample, expert] of the clusters at predicted clean samples x_0 [sample, *]."""
    phi = clusters.features(x_0)
    d2 = (phi[:, None] - clusters.feature_centroids).square().sum(dim=2)
    log_prior = clusters.proportions.log() if prior else torch.zeros_like(clusters.proportions)
    return log_prior - d2 / (2 * clusters.feature_spread**2)


@register
@dataclasses.dataclass(frozen=True)
class Nearest(Router):
    """Distance of the predicted clean sample to each centroid, as a Gaussian posterior.

    logit_k = log proportion_k - |phi(x0_hat) - mu_k|^2 / (2 spread^2)

    phi is the space in which the clusters were found, spread that of the data around their own
    centroid there, per feature. x0_hat is the last prediction; before the first it is the mean of
    all experts, which costs K calls. The fitted temperature is that of this mean, with the prior.
    """

    name = "nearest"
    needs_x_0: ClassVar[bool] = True

    prior: bool = setting(True, "weigh clusters by their share of the data")

    def bind(self, system: System) -> Callable[[State], Tensor]:
        clusters = system.clusters

        def logits(state: State) -> Tensor:
            assert state.x_0 is not None  # needs_x_0
            return nearness(state.x_0, clusters, prior=self.prior)

        return logits
