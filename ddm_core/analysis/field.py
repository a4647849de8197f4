"""The flow that a route makes in the plane: velocities on a grid at every step, and twins in it.

At a point x of the grid and a time t

    v(x) = sum_k w_k(x) v_k(x),        L(x) = sigma_max(dv/dx), router gradient included
    disagreement(x) = mean over pairs i < j of angle(v_i, v_j)

A twin starts h beside its sample and gets the same noise; both are routed anew at every step.

References:
    Expert-Data Alignment Governs Generation Quality in Decentralized Diffusion Models
    (Villagra et al., 2026); the formulas are our own definitions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from ddm_core.angles import pairwise_angles
from ddm_core.config import RunConfig
from ddm_core.denoise import Denoiser
from ddm_core.ensemble import Ensemble
from ddm_core.errors import RequestError
from ddm_core.noise import Noise
from ddm_core.registry import load_plugin
from ddm_core.rollout import rollout
from ddm_core.routes import RouteSpec, build_ensemble, parse_route
from ddm_core.samplers.base import SAMPLERS
from ddm_core.systems import load_system
from ddm_core.systems.base import System

__all__ = ["PUSH", "RESOLUTION", "SAMPLES", "Box", "field", "field_of", "paths", "steepness"]

#: Points of the grid along each side: an odd number, so that one of them is the middle.
RESOLUTION = 41
#: Samples whose ways are kept, and how far beside them their twins start: far enough to be seen.
SAMPLES, PUSH = 48, 0.15
_MOST_FRAMES = 60
_MOST_EXPERTS = 8  # whose own fields are kept

#: Something to look at while work goes on: done frames, all frames.
Tell = Callable[[int, int], None]


class Box(NamedTuple):
    """A rectangle of the plane."""

    left: float
    right: float
    bottom: float
    top: float


def field(
    system: System,
    route: RouteSpec,
    times: Sequence[float],
    box: Box,
    resolution: int = RESOLUTION,
    *,
    tell: Tell | None = None,
) -> xr.Dataset:
    """The routed field and those of the experts at these times, on a grid.

    Arguments:
        system: of points in the plane.
        times: t of each frame, all above 0.
        resolution: points along each side of the box.

    Returns:
        velocity [step, y, x, coordinate]: dx/dt of the routed field; samples move against it, as
        t falls. lipschitz, disagreement [step, y, x]; weights [step, y, x, expert]; and
        expert_velocity [step, y, x, expert, coordinate] of the first 8 experts. Coordinates t,
        x, y.

    Raises:
        RequestError: images, or a route that has no field: one that draws, or whose strategy
            (`sticky`) or router (`nearest`) looks back at the steps before.
    """
    _check(system, route)
    ensemble = build_ensemble(system, route)
    xs = torch.linspace(box.left, box.right, resolution, dtype=torch.float64)
    ys = torch.linspace(box.bottom, box.top, resolution, dtype=torch.float64)
    kind = system.clusters.centroids.dtype
    grid = torch.cartesian_prod(ys, xs).flip(1).to(kind)
    frames: list[dict[str, Tensor]] = []
    for done, time in enumerate(times):
        if tell is not None:
            tell(done, len(times))
        frames.append(_frame(system, ensemble, grid, torch.full((len(grid),), time, dtype=kind)))
    plane = ("step", "y", "x")
    dims = {
        "velocity": (*plane, "coordinate"),
        "lipschitz": plane,
        "disagreement": plane,
        "weights": (*plane, "expert"),
        "expert_velocity": (*plane, "own", "coordinate"),
    }
    shape = (len(times), resolution, resolution)
    data = {
        name: (
            dims[name],
            torch.stack([one[name] for one in frames]).reshape(*shape, *frames[0][name].shape[1:]),
        )
        for name in dims
    }
    return xr.Dataset(
        {name: (d, values.float().numpy()) for name, (d, values) in data.items()},
        {"t": ("step", np.array(times)), "x": xs.numpy(), "y": ys.numpy()},
    )


def _check(system: System, route: RouteSpec) -> None:
    if system.is_image or system.shape != (2,):
        raise RequestError(f"system '{system.name}' is not in the plane; its flow cannot be drawn")
    if route.strategy is not None and route.strategy.draws:
        raise RequestError(
            f"the route {route} draws its experts: its flow is another every time; take top_k or "
            "full"
        )
    x = system.clusters.centroids[:1]
    with torch.no_grad():
        memory = build_ensemble(system, route).mix(x, x.new_full((1,), 0.5)).memory
    # Whatever it would take along from here, sticky's experts or the prediction that nearest goes
    # by, is missing at a point of the grid, to which nothing came.
    if memory.strategy is not None or memory.x_0 is not None:
        instead = "a router" if memory.strategy is None else "a strategy"
        raise RequestError(
            f"the route {route} looks back at its steps before: its velocity at a point depends "
            f"on the way there; take {instead} without memory, as in uniform/full"
        )


def _frame(system: System, ensemble: Ensemble, x: Tensor, t: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        mixture = ensemble.mix(x, t)
        every = torch.stack([expert(x, t) for expert in system.experts], dim=1)
    return {
        "velocity": mixture.velocity,
        "weights": mixture.weights,
        "lipschitz": steepness(ensemble, x, t),
        "disagreement": pairwise_angles(every).mean(dim=1),
        "expert_velocity": every[:, :_MOST_EXPERTS],
    }


def steepness(field: Denoiser, x: Tensor, t: Tensor) -> Tensor:
    """sigma_max(dv/dx) [point] of a field in the plane at x [point, 2], t [point]; exact.

    Where the set of chosen experts jumps the derivative does not see it.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        v = field(x, t)
        # A point depends on no other point: the gradient of a sum is the gradient of each.
        rows = [torch.autograd.grad(v[:, i].sum(), x, retain_graph=i == 0)[0] for i in range(2)]
    jacobian = torch.stack(rows, dim=1).detach()
    square = jacobian.square().sum(dim=(1, 2))
    apart = (square.square() - 4 * torch.linalg.det(jacobian).square()).clamp_min(0).sqrt()
    return ((square + apart) / 2).sqrt()


def paths(
    system: System, config: RunConfig, *, count: int = SAMPLES, push: float = PUSH
) -> xr.Dataset:
    """The ways of a run's first samples, simulated again, with their twins.

    Arguments:
        config: of the run.
        count: samples at most.
        push: h, the length of the perturbation of x_T.

    Returns:
        state, twin [step, sample, coordinate]: x_t; leader [step, sample]: the expert with the
        largest weight, -1 for a monolith; path_lipschitz [step, sample]; the coordinates t and
        sample.
    """
    route, sampler = parse_route(config.router), SAMPLERS.parse(config.sampler)
    ensemble = build_ensemble(system, route)
    seeds = tuple(config.seeds)[:count]
    noise = Noise(seeds, system.shape, system.clusters.centroids.dtype)
    times = system.schedule.times(config.steps)
    x_T = noise.initial()
    with torch.no_grad():
        steps = list(rollout(ensemble, sampler, x_T, times, noise))
        pushed = x_T + push * noise.direction()
        twins = [step.x_t for step in rollout(ensemble, sampler, pushed, times, noise)]
    steep = [
        steepness(ensemble, step.x_t, torch.full((len(seeds),), step.t, dtype=x_T.dtype))
        for step in steps
    ]
    ways = ("step", "sample", "coordinate")
    leader = torch.stack([step.mixture.weights.argmax(dim=1) for step in steps])
    if route.monolith:
        leader = torch.full_like(leader, -1)
    return xr.Dataset(
        {
            "state": (ways, torch.stack([step.x_t for step in steps]).float().numpy()),
            "twin": (ways, torch.stack(twins).float().numpy()),
            "leader": (("step", "sample"), leader.to(torch.int16).numpy()),
            "path_lipschitz": (("step", "sample"), torch.stack(steep).float().numpy()),
        },
        {"t": ("step", np.array(times[:-1])), "sample": np.array(seeds)},
    )


def field_of(config: RunConfig, *, tell: Tell | None = None) -> xr.Dataset:
    """Everything that the picture of a run's flow needs: `field` and `paths` at the same steps.

    Runs of one comparison get one box, since it follows from the noise that they share.

    Raises:
        RequestError: the run is of images, or its route has no field.
    """
    for plugin in config.plugins:
        load_plugin(plugin)
    system = load_system(config.system)
    route = parse_route(config.router)
    _check(system, route)
    ways = paths(system, config)
    count = ways.sizes["step"]
    frames = np.unique(np.linspace(0, count - 1, min(count, _MOST_FRAMES)).round().astype(int))
    ways = ways.isel(step=frames)
    grid = field(system, route, ways["t"].values.tolist(), _box(system, ways), tell=tell)
    whole = xr.merge([grid, ways], combine_attrs="drop", join="exact", compat="override")
    return whole.assign_coords(step=frames).assign_attrs(
        system=config.system,
        router=config.router,
        push=PUSH,
        steps=count,
        spread=float(system.clusters.spread),
        centres=system.clusters.centroids.double().flatten().tolist(),
    )


def _box(system: System, ways: xr.Dataset) -> Box:
    """A square around the clusters and nearly all of the noise, in the middle of the clusters."""
    centres = system.clusters.centroids.double().numpy()
    middle = centres.mean(axis=0)
    reach = float(np.abs(centres - middle).max()) + 4 * float(system.clusters.spread)
    start = np.abs(ways["state"].values[0] - middle).max(axis=1)
    reach = max(reach, float(np.quantile(start, 0.9)))
    x, y = float(middle[0]), float(middle[1])
    return Box(x - reach, x + reach, y - reach, y + reach)
