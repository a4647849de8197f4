"""How far the state is from the data of each expert, by three definitions, and of the chosen.

References:
    Expert-Data Alignment Governs Generation Quality in Decentralized Diffusion Models
    (Villagra et al., 2026); the formulas are our own definitions.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from ddm_core.probes.base import Meter, Probe, Scene, register
from ddm_core.rollout import Step
from ddm_core.schedules import expand
from ddm_core.systems.base import Clusters
from ddm_core.trace import Variable

__all__ = [
    "ClusterDistance",
    "ClusterDistanceNoised",
    "ClusterDistancePixels",
    "NearestSelected",
    "SelectedDistance",
    "distances",
    "feature_distance",
]

_PER_EXPERT = ("step", "sample", "expert")


def feature_distance(x_0: Tensor, clusters: Clusters) -> Tensor:
    """|phi(x_0) - phi_k| [sample, expert] for x_0 [sample, *], in the clusters' features."""
    return distances(clusters.features(x_0), clusters.feature_centroids)


def distances(one: Tensor, other: Tensor) -> Tensor:
    """|one_i - other_k| [sample, expert] of [sample, dimension] and [expert, dimension].

    Not by |a|^2 + |b|^2 - 2ab, which torch takes for larger batches: it loses the digits of short
    distances, and on a GPU it is a dozen launches instead of one.
    """
    return torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist")


@register
@dataclasses.dataclass(frozen=True)
class ClusterDistance(Probe):
    """Distance of the predicted clean sample to each cluster, in the clustering features."""

    name = "cluster_distance"
    variable = Variable(name, _PER_EXPERT, "|phi(x0_hat) - mu_k|, phi: the clustering features")
    of_experts: ClassVar[bool] = False

    def begin(self, scene: Scene) -> Meter:
        clusters = scene.system.clusters
        return lambda step: feature_distance(step.mixture.mean, clusters)


@register
@dataclasses.dataclass(frozen=True)
class ClusterDistancePixels(Probe):
    """Distance of the predicted clean sample to each cluster's mean, in pixels or latents."""

    name = "cluster_distance_pixels"
    variable = Variable(name, _PER_EXPERT, "|x0_hat - mu_k|, in the space of x_0")
    of_experts: ClassVar[bool] = False

    def begin(self, scene: Scene) -> Meter:
        centroids = scene.system.clusters.centroids.flatten(1)
        return lambda step: distances(step.mixture.mean.flatten(1), centroids)


@register
@dataclasses.dataclass(frozen=True)
class ClusterDistanceNoised(Probe):
    """Distance of the noisy state to each cluster's mean, scaled as the noise has scaled it."""

    name = "cluster_distance_noised"
    variable = Variable(name, _PER_EXPERT, "|x_t - alpha_t mu_k|, in the space of x_0")
    of_experts: ClassVar[bool] = False

    def begin(self, scene: Scene) -> Meter:
        centroids = scene.system.clusters.centroids.flatten(1)
        schedule = scene.system.schedule

        def meter(step: Step) -> Tensor:
            t = torch.full((), step.t, dtype=step.x_t.dtype, device=step.x_t.device)
            alpha_t, _ = schedule.alpha_sigma(t)
            return distances(step.x_t.flatten(1), expand(alpha_t, centroids) * centroids)

        return meter


@register
@dataclasses.dataclass(frozen=True)
class SelectedDistance(Probe):
    """Distance to the clusters of the chosen experts, weighted as they are."""

    name = "selected_distance"
    variable = Variable(name, ("step", "sample"), "sum_k w_k |phi(x0_hat) - mu_k|")

    def begin(self, scene: Scene) -> Meter:
        clusters = scene.system.clusters

        def meter(step: Step) -> Tensor:
            distance = feature_distance(step.mixture.mean, clusters)
            return (step.mixture.weights * distance).sum(dim=1)

        return meter


@register
@dataclasses.dataclass(frozen=True)
class NearestSelected(Probe):
    """Whether the expert of the nearest cluster is among the chosen."""

    name = "nearest_selected"
    variable = Variable(name, ("step", "sample"), "w_k > 0 for k = argmin |phi(x0_hat) - mu_k|")

    def begin(self, scene: Scene) -> Meter:
        clusters = scene.system.clusters

        def meter(step: Step) -> Tensor:
            nearest = feature_distance(step.mixture.mean, clusters).argmin(dim=1, keepdim=True)
            return step.mixture.weights.gather(1, nearest)[:, 0] > 0

        return meter
