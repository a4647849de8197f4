"""How much the experts disagree about the velocity, in several definitions.

References:
    Expert-Data Alignment Governs Generation Quality in Decentralized Diffusion Models
    (Villagra et al., 2026); the formulas are our own definitions.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from torch import Tensor

from ddm_core.angles import angles, pairwise_angles
from ddm_core.probes.base import Meter, Probe, Scene, register
from ddm_core.rollout import Step
from ddm_core.trace import Variable

__all__ = [
    "Disagreement",
    "DisagreementMax",
    "DisagreementVariance",
    "ExpertAngle",
]


def _pairwise(step: Step) -> Tensor:
    assert step.mixture.experts is not None  # needs_all_experts
    return pairwise_angles(step.mixture.experts)


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
