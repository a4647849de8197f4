"""What a comparison will cost, told before it begins, and refused where it cannot fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app import state
from app.catalogue import Catalogue
from ddm_core.config import RunConfig, make_config
from ddm_core.errors import RequestError
from ddm_core.estimate import Estimate, Subject, estimate, require_room, together

__all__ = ["cost", "in_words", "require_fit"]


def cost(catalogue: Catalogue, configs: Sequence[RunConfig]) -> Estimate | None:
    """What these runs cost together; None for a system that only the worker can open."""
    parts: list[Estimate] = []
    for config in configs:
        card = catalogue.system(config.system)
        if card is None or not card.experts:
            return None
        subject = Subject(_experts(config.system, card.experts), card.shape)
        parts.append(estimate(config, subject, catalogue.costs, state.store().runs()))
    return together(parts) if parts else None


def require_fit(catalogue: Catalogue, configs: Sequence[RunConfig]) -> None:
    """Refuse at once what the worker would refuse after its turn in the queue.

    Raises:
        RequestError: a run needs more memory than is free.
    """
    for config in configs:
        one = cost(catalogue, [config])
        if one is not None:
            require_room(one, config)


def in_words(catalogue: Catalogue, fields: dict[str, Any], routes: Sequence[str]) -> str:
    """The cost as one line; what is wrong with the fields is told when they are sent."""
    try:
        configs = [make_config(fields | {"router": route}) for route in routes]
    except RequestError:
        return ""
    one = cost(catalogue, configs)
    if one is None:
        return ""
    return str(one) if one.fits else f"{one}; more memory than is free"


def _experts(system: str, usual: int) -> int:
    """The number of experts that a system's settings name, as in ring:experts=6."""
    for pair in system.split(":")[1:]:
        key, _, value = pair.partition("=")
        if key == "experts" and value.isdecimal():
            return int(value)
    return usual
