"""Route specs (STRATEGY, ROUTER/STRATEGY or monolith) and the ensemble each makes of a system."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from ddm_core.denoise import Bfloat16Denoiser, GuidedDenoiser
from ddm_core.ensemble import Decision, Ensemble, Moment, Route, State
from ddm_core.errors import RequestError
from ddm_core.faults import Fault, named, require_function, require_tensor
from ddm_core.registry import spec
from ddm_core.routers.base import ROUTERS, Router
from ddm_core.strategies.base import STRATEGIES, Strategy
from ddm_core.strategies.full import Full
from ddm_core.systems.base import System

__all__ = ["RouteSpec", "build_ensemble", "parse_route", "split_routes"]

MONOLITH = "monolith"


class RouteSpec(NamedTuple):
    """A router and a strategy, not yet bound to a system.

    Arguments:
        router: None stands for the system's default.
        strategy: None stands for the monolith.
    """

    router: Router | None
    strategy: Strategy | None

    @property
    def monolith(self) -> bool:
        """Whether the one model trained on everything is meant."""
        return self.strategy is None

    def __str__(self) -> str:
        if self.strategy is None:
            return MONOLITH
        if self.router is None:
            return spec(self.strategy)
        return f"{spec(self.router)}/{spec(self.strategy)}"


def parse_route(text: str) -> RouteSpec:
    """The route that a spec describes.

    Raises:
        RequestError: an unknown name or setting, with the alternatives.
    """
    text = text.strip()
    if text == MONOLITH:
        return RouteSpec(None, None)
    router, slash, strategy = text.rpartition("/")
    if not strategy.strip():
        raise RequestError(
            f"the route '{text}' names no strategy; write STRATEGY or ROUTER/STRATEGY"
        )
    if not slash and strategy.partition(":")[0] in ROUTERS:
        known = ", ".join(STRATEGIES)
        raise RequestError(
            f"'{strategy}' is a router; add a strategy, as in {strategy}/full ({known})"
        )
    return RouteSpec(ROUTERS.parse(router) if slash else None, STRATEGIES.parse(strategy))


def split_routes(text: str) -> list[str]:
    """The specs of a comma-separated list, in normal form."""
    routes = [str(parse_route(part)) for part in text.split(",") if part.strip()]
    if not routes:
        raise RequestError("no routes given; write them with commas between, as in top_k:k=1,full")
    return routes


def build_ensemble(
    system: System,
    route: RouteSpec,
    *,
    guidance: float = 1.0,
    bfloat16: bool = False,
    dense: bool = False,
    keep: bool = False,
) -> Ensemble:
    """The system's experts, guided and mixed by the route.

    Raises:
        RequestError: the system lacks what the route needs.
        WorkError: the router cannot be bound. What the ensemble is asked later names the router
            or the strategy whose fault it is, too.
    """
    experts = system.experts
    if route.strategy is None:
        if system.monolith is None:
            raise RequestError(f"system '{system.name}' has no monolith; take top_k or full")
        experts = (system.monolith,)
        bound = Route(_alone, 1.0, Full().decide)
    else:
        router = route.router or ROUTERS.parse(system.default_router)
        strategy = route.strategy
        _require_experts(strategy, system)
        bound = Route(
            _logits(router, system),
            router.temperature_on(system),
            _decide(strategy),
            needs_x_0=router.needs_x_0,
            draws=strategy.draws,
            revise=_revise(strategy) if strategy.looks else None,
        )
    if guidance != 1.0:
        experts = tuple(GuidedDenoiser(expert, guidance) for expert in experts)
    if bfloat16:
        experts = tuple(Bfloat16Denoiser(expert) for expert in experts)
    return Ensemble(experts, bound, system.schedule, dense=dense, keep=keep)


def _require_experts(strategy: Strategy, system: System) -> None:
    """Refuse more experts than there are: a Top-9 of 6 would be kept under a name that it is not.

    Where there is one expert, every strategy is that expert.
    """
    experts, name = len(system.experts), strategy.asks
    asked = getattr(strategy, name) if isinstance(name, str) else 0
    if 1 < experts < asked:
        raise RequestError(
            f"{name}={asked} in '{spec(strategy)}' is more than the {experts} experts of system "
            f"'{system.name}'; take full to ask all of them"
        )


def _logits(router: Router, system: System) -> Callable[[State], Tensor]:
    who, experts = f"router '{router.name}'", len(system.experts)
    with named(who):
        bound = router.bind(system)
    require_function(who, "bind", bound)

    def logits(state: State) -> Tensor:
        with named(who):
            found = bound(state)
        require_tensor(who, "logits", found, (len(state.x_t), experts), state.x_t)
        if not found.is_floating_point():
            raise Fault(who, f"logits of {found.dtype}, not {state.x_t.dtype}")
        return found

    return logits


def _decide(strategy: Strategy) -> Callable[[Tensor, Moment], Decision]:
    who = f"strategy '{strategy.name}'"

    def decide(probabilities: Tensor, moment: Moment) -> Decision:
        with named(who):
            found = strategy.decide(probabilities, moment)
        if not isinstance(found, Decision):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise Fault(who, f"decide gave {type(found).__name__}, not a Decision")
        require_tensor(who, "weights", found.weights, probabilities.shape, probabilities)
        return found

    return decide


def _revise(strategy: Strategy) -> Callable[[Tensor, Tensor], Tensor]:
    who = f"strategy '{strategy.name}'"

    def revise(weights: Tensor, velocities: Tensor) -> Tensor:
        with named(who):
            found = strategy.revise(weights, velocities)
        return require_tensor(who, "weights", found, weights.shape, weights)

    return revise


def _alone(state: State) -> Tensor:
    return state.x_t.new_zeros(len(state.x_t), 1)
