"""How much the experts disagree about the velocity, in several definitions.

References:
    Expert-Data Alignment Governs Generation Quality in Decentralized Diffusion Models
    (Villagra et al., 2026); the formulas are our own definitions.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from ddm_core.probes.base import Meter, Probe, Scene, register
from ddm_core.rollout import Step
from ddm_core.trace import Variable

__all__ = ["Disagreement", "DisagreementMax", "DisagreementVariance", "ExpertAngle"]


def angles(a: Tensor, b: Tensor) -> Tensor:
    """Angles between the rows of a [..., i, dimension] and b [..., j, dimension]: [..., i, j].

    By arctan2 of half-angle chords: arccos of a rounded cosine loses half its digits near 0.
    """
    a = functional.normalize(a, dim=-1)
    b = functional.normalize(b, dim=-1)
    apart = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
    together = torch.cdist(a, -b, compute_mode="donot_use_mm_for_euclid_dist")
    return 2 * torch.atan2(apart, together)


def _pairwise(step: Step) -> Tensor:
    """Angles of all pairs of experts [sample, pair]; one zero where there is a single expert."""
    assert step.mixture.experts is not None  # needs_all_experts
    v = step.mixture.experts.flatten(2)
    count = v.shape[1]
    if count == 1:
        return v.new_zeros(len(v), 1)
    i, j = torch.triu_indices(count, count, offset=1, device=v.device)
    return angles(v, v)[:, i, j]


@register
@dataclasses.dataclass(frozen=True)
class Disagreement(Probe):
    """Mean angle between the velocities of all pairs of experts."""

    name = "disagreement"
    variable = Variable(
        name, ("step", "sample"), "mean over pairs i < j of angle(v_i, v_j)", "rad"
    )
    needs_all_experts: ClassVar[bool] = True

    def begin(self, scene: Scene) -> Meter:
        return lambda step: _pairwise(step).mean(dim=1)


@register
@dataclasses.dataclass(frozen=True)
class DisagreementMax(Probe):
    """Largest angle between the velocities of any two experts."""

    name = "disagreement_max"
    variable = Variable(name, ("step", "sample"), "max over pairs of angle(v_i, v_j)", "rad")
    needs_all_experts: ClassVar[bool] = True

    def begin(self, scene: Scene) -> Meter:
        return lambda step: _pairwise(step).amax(dim=1)


@register
@dataclasses.dataclass(frozen=True)
class DisagreementVariance(Probe):
    """Spread of the chosen experts' velocities around their mixture, weighted as they are."""

    name = "disagreement_variance"
    variable = Variable(name, ("step", "sample"), "sum_k w_k |v_k - v|^2 / dimension")
    needs_all_experts: ClassVar[bool] = True

    def begin(self, scene: Scene) -> Meter:
        def meter(step: Step) -> Tensor:
            mixture = step.mixture
            assert mixture.experts is not None  # needs_all_experts
            away = (mixture.experts - mixture.velocity[:, None]).flatten(2)
            return (mixture.weights * away.square().mean(dim=2)).sum(dim=1)

        return meter


@register
@dataclasses.dataclass(frozen=True)
class ExpertAngle(Probe):
    """Angle of each expert's velocity to the mixture's."""

    name = "expert_angle"
    variable = Variable(name, ("step", "sample", "expert"), "angle(v_k, v)", "rad")
    needs_all_experts: ClassVar[bool] = True

    def begin(self, scene: Scene) -> Meter:
        def meter(step: Step) -> Tensor:
            assert step.mixture.experts is not None  # needs_all_experts
            mix = step.mixture.velocity.flatten(1)[:, None]
            return angles(step.mixture.experts.flatten(2), mix)[:, :, 0]

        return meter
