"""What a strategy is: probabilities -> weights on the simplex."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from ddm_core.ensemble import Decision, Moment
from ddm_core.registry import Registry

__all__ = [
    "STRATEGIES",
    "MemorylessStrategy",
    "Strategy",
    "kept",
    "one_hot",
    "ranked",
    "register",
]


@dataclasses.dataclass(frozen=True)
class Strategy(ABC):
    """How the router's probabilities become weights. Frozen; its fields are its settings.

    Attributes:
        draws: whether it needs random numbers.
        asks: experts that get a weight, at most, per sample: a number, or the name of the setting
            that holds it; None for all. What a run will cost is told by it.
        looks: wants to see what the chosen experts said, and then to `revise` their weights.
    """

    name: ClassVar[str]
    draws: ClassVar[bool] = False
    asks: ClassVar[int | str | None] = None
    looks: ClassVar[bool] = False

    @abstractmethod
    def decide(self, probabilities: Tensor, moment: Moment) -> Decision:
        """Weights and memory for probabilities [sample, expert]; pure."""

    def revise(self, weights: Tensor, velocities: Tensor) -> Tensor:
        """Weights [sample, expert] again, now that the chosen have answered; of a part of them.

        Arguments:
            velocities: [sample, expert, *]; nan of experts that were not asked.
        """
        return weights


class MemorylessStrategy(Strategy):
    """A strategy that looks at the probabilities alone."""

    @abstractmethod
    def weights(self, probabilities: Tensor) -> Tensor:
        """probabilities [sample, expert] -> weights [sample, expert]; sum 1, zero = not run."""

    def decide(self, probabilities: Tensor, moment: Moment) -> Decision:
        return Decision(self.weights(probabilities))


def ranked(score: Tensor, k: int) -> Tensor:
    """The places [sample, k] of the k largest of score [sample, expert], all where it has fewer.

    Of equals the first: `topk` leaves that open, and a GPU would choose other ones than a CPU.
    """
    return score.sort(dim=1, descending=True, stable=True).indices[:, :k]


def kept(probabilities: Tensor, keep: Tensor) -> Tensor:
    """The probabilities of the experts in keep [sample, expert] (bool), renormalised to sum 1."""
    p = torch.where(keep, probabilities, torch.zeros_like(probabilities))
    total = p.sum(dim=1, keepdim=True)
    # A kept set without any mass (a router that is certain of others) is shared evenly; so is one
    # whose mass is below the normal numbers, where a quotient has no digits left.
    tiny = torch.finfo(p.dtype).tiny
    even = keep.to(p.dtype) / keep.sum(dim=1, keepdim=True)
    return torch.where(total < tiny, even, p / total.clamp_min(tiny))


def one_hot(index: Tensor, like: Tensor) -> Tensor:
    """index [sample] -> weights [sample, expert] with a single one."""
    # torch's own one_hot asks the host whether the indices are in range.
    return torch.zeros_like(like).scatter(1, index[:, None], 1.0)


STRATEGIES: Registry[Strategy] = Registry("strategy", "ddm_core.strategies")
register = STRATEGIES.register
