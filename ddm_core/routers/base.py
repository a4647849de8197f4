"""What a router is: settings, and a method that binds them to a system."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import Tensor

from ddm_core.ensemble import State
from ddm_core.errors import RequestError
from ddm_core.registry import Registry, setting
from ddm_core.systems.base import System

__all__ = ["FITTED", "ROUTERS", "Router", "register", "temperature_key"]

FITTED = "fitted"


@dataclasses.dataclass(frozen=True)
class Router(ABC):
    """How likely is each expert at a state. Frozen; its fields are its settings.

    p = softmax(logits / temperature): above 1 softens, below 1 sharpens. The word `fitted` stands
    for the temperature of the largest likelihood of held-out data, which is kept with the system.

    References:
        On Calibration of Modern Neural Networks (Guo et al., 2017)
    """

    name: ClassVar[str]
    needs_x_0: ClassVar[bool] = False

    temperature: float | str = setting(
        1.0,
        "divides the logits: above 1 softer, below 1 sharper",
        low=1e-3,
        high=1e6,
        words=(FITTED,),
    )

    @abstractmethod
    def bind(self, system: System) -> Callable[[State], Tensor]:
        """The router on this system: state -> logits [sample, expert].

        Raises:
            RequestError: the system lacks what the router needs.
        """

    def temperature_on(self, system: System) -> float:
        """The temperature as a number.

        Raises:
            RequestError: it is to be the fitted one, and none was fitted on this system.
        """
        return float(self.temperature) if self.temperature != FITTED else self.fitted(system)

    def fitted(self, system: System) -> float:
        """The temperature that was fitted for this router on the system's held-out data."""
        said = system.info.get("held_out")
        value = (said if isinstance(said, dict) else {}).get(temperature_key(self.name))
        if not isinstance(value, int | float):
            raise RequestError(
                f"system '{system.name}' has no fitted temperature for router '{self.name}': give "
                f"a number, as in {self.name}:temperature=2; `ddm audit` measures that of its "
                "own router, and `ddm train` keeps it"
            )
        return float(value)


def temperature_key(router: str) -> str:
    """How `held_out` in system.toml calls the fitted temperature of a router."""
    return "router_temperature" if router == "learned" else f"{router}_temperature"


ROUTERS: Registry[Router] = Registry("router", "ddm_core.routers")
register = ROUTERS.register
