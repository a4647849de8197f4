"""A config's path made ready: names checked and in normal form, a segment per leg."""

from __future__ import annotations

import torch

from ddm_core.config import RunConfig
from ddm_core.errors import RequestError
from ddm_core.registry import spec
from ddm_core.rollout import Segment
from ddm_core.routes import build_ensemble, parse_route
from ddm_core.samplers.base import SAMPLERS
from ddm_core.systems.base import System

__all__ = ["normal", "segments"]


def normal(config: RunConfig, system: System) -> RunConfig:
    """The same config with its specs, and those of the runs that it branches from, in normal form.

    Raises:
        RequestError: a name, a setting or a combination that cannot run; one sentence.
    """
    route = parse_route(config.router)
    sampler = SAMPLERS.parse(config.sampler)
    if config.label is not None and config.label >= len(system.labels):
        there = ", ".join(map(str, range(len(system.labels)))) or "none (it is unconditional)"
        raise RequestError(
            f"no label {config.label} in system '{system.name}'; there are: {there}"
        )
    if config.guidance != 1.0 and config.label is None:
        cure = "add one" if system.labels else f"system '{system.name}' has none: leave it at 1"
        raise RequestError(f"guidance {config.guidance:g} needs a label to guide to; {cure}")
    # Bound once for its errors: a learned router without a network, an expert that is not there.
    build_ensemble(system, route)
    branch = config.branch
    if branch is not None:
        branch = branch.model_copy(update={"of": normal(branch.of, system)})
    return config.model_copy(
        update={"router": str(route), "sampler": spec(sampler), "branch": branch}
    )


def segments(
    config: RunConfig, system: System, count: int, device: torch.device, *, dense: bool
) -> tuple[Segment, ...]:
    """Who goes which part of the path: one segment, or on a branch the parent's before its own.

    Arguments:
        config: in normal form.
        count: samples that run together.
        dense: evaluate every expert, for probes that look at all of them.
    """
    out: list[Segment] = []
    before = None
    for leg in config.legs:
        asked = leg.config
        route = parse_route(asked.router)
        ensemble = build_ensemble(
            system,
            route,
            guidance=asked.guidance,
            bfloat16=asked.dtype == "bfloat16",
            dense=dense,
        )
        condition = None
        if asked.label is not None:
            condition = torch.full((count,), asked.label, device=device)
        # The same strategy goes on with what it remembers, so that no change changes nothing.
        resumes = before is not None and route.strategy == before
        sampler = SAMPLERS.parse(asked.sampler)
        out.append(Segment(ensemble, sampler, condition, leg.start, resumes))
        before = route.strategy
    return tuple(out)
