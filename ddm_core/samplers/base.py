"""What a sampler is: one pure step. The loop is in rollout.py."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from ddm_core.ensemble import Mixture
from ddm_core.registry import Registry
from ddm_core.schedules import Schedule

__all__ = ["SAMPLERS", "Mix", "Sampler", "Transition", "like", "register"]


class Mix(Protocol):
    """The ensemble with everything else bound."""

    def __call__(self, x_t: Tensor, t: float, after: Mixture | None = None) -> Mixture:
        """The mixture at x_t [sample, *], t.

        Arguments:
            after: of an earlier stage of the same step, if there is one: the route remembers it.
        """
        ...


class Transition(NamedTuple):
    """One step done."""

    x_s: Tensor  # [sample, *]
    mixture: Mixture  # at (x_t, t)
    calls: Tensor  # [sample], expert evaluations of all stages


@dataclasses.dataclass(frozen=True)
class Sampler(ABC):
    """A step from t to s < t. Frozen; its fields are its settings.

    Attributes:
        order: of convergence in the step length, for smooth fields; None where noise is added.
        stages: evaluations of the mixture per step.
        stochastic: whether the step takes fresh noise.
    """

    name: ClassVar[str]
    order: ClassVar[int | None] = 1
    stages: ClassVar[int] = 1
    stochastic: ClassVar[bool] = False

    @abstractmethod
    def step(
        self,
        mix: Mix,
        schedule: Schedule,
        x_t: Tensor,
        t: float,
        s: float,
        noise: Tensor | None,
    ) -> Transition:
        """x_t [sample, *] at t -> x_s at s; noise [sample, *] for stochastic samplers. Pure."""


def like(value: float, x: Tensor) -> Tensor:
    """A time as a tensor [] beside x, made on its device without a copy from the host."""
    return torch.full((), value, dtype=x.dtype, device=x.device)


SAMPLERS: Registry[Sampler] = Registry("sampler", "ddm_core.samplers")
register = SAMPLERS.register
