"""What a router is: settings, and a method that binds them to a system."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from ddm_core.ensemble import State
from ddm_core.registry import Registry, setting
from ddm_core.systems.base import System

__all__ = ["ROUTERS", "Router", "register"]


@dataclasses.dataclass(frozen=True)
class Router(ABC):
    """How likely is each expert at a state. Frozen; its fields are its settings.

    p = softmax(logits / temperature): above 1 softens, below 1 sharpens.
    """

    name: ClassVar[str]
    needs_x_0: ClassVar[bool] = False

    temperature: float = setting(
        1.0, "divides the logits: above 1 softer, below 1 sharper", low=1e-3, high=1e6
    )

    @abstractmethod
    def bind(self, system: System) -> Callable[[State], Tensor]:
        """The router on this system: state -> logits [sample, expert].

        Raises:
            RequestError: the system lacks what the router needs.
        """


ROUTERS: Registry[Router] = Registry("router", "ddm_core.routers")
register = ROUTERS.register
