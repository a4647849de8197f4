"""What the route decided and cost: probabilities, weights, entropy, calls, evaluations."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from ddm_core.probes.base import Meter, Probe, Scene, register
from ddm_core.rollout import Step
from ddm_core.trace import Variable

__all__ = ["Entropy", "ExpertCalls", "NetworkCalls", "RouterProbability", "Weights"]


@register
@dataclasses.dataclass(frozen=True)
class RouterProbability(Probe):
    """The router's probability of each expert, before the strategy."""

    name = "router_probability"
    variable = Variable(
        name, ("step", "sample", "expert"), "p(k | x_t) = softmax(logits / temperature)"
    )

    def begin(self, scene: Scene) -> Meter:
        return lambda step: step.mixture.probabilities


@register
@dataclasses.dataclass(frozen=True)
class Weights(Probe):
    """The weight with which each expert enters the mixture."""

    name = "weights"
    variable = Variable(name, ("step", "sample", "expert"), "w = strategy(p); 0 = not run")

    def begin(self, scene: Scene) -> Meter:
        return lambda step: step.mixture.weights


@register
@dataclasses.dataclass(frozen=True)
class Entropy(Probe):
    """Entropy of the router's probabilities."""

    name = "entropy"
    variable = Variable(name, ("step", "sample"), "H(p) = -sum_k p_k ln p_k, of the router", "nat")

    def begin(self, scene: Scene) -> Meter:
        def meter(step: Step) -> Tensor:
            return torch.special.entr(step.mixture.probabilities).sum(dim=1)

        return meter


@register
@dataclasses.dataclass(frozen=True)
class ExpertCalls(Probe):
    """Expert evaluations that sampling needed, all samples and all stages of the step together."""

    name = "expert_calls"
    variable = Variable(
        name, ("step",), "sum over samples of the experts asked for sampling; guided: once"
    )
    of_experts: ClassVar[bool] = False

    def begin(self, scene: Scene) -> Meter:
        return lambda step: step.calls.sum()


@register
@dataclasses.dataclass(frozen=True)
class NetworkCalls(Probe):
    """Evaluations of networks that sampling needed: with guidance, two per expert asked."""

    name = "network_calls"
    variable = Variable(
        name, ("step",), "sum over samples of the networks evaluated; guided experts run twice"
    )
    of_experts: ClassVar[bool] = False

    def begin(self, scene: Scene) -> Meter:
        def meter(step: Step) -> Tensor:
            here = scene.at(step.index)
            expert = here.ensemble.experts[0]
            return step.calls.sum() * expert.evaluations(conditional=here.condition is not None)

        return meter
