"""Who painted this pixel: the parts add up to the picture; shares are those of a slow count."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ddm_core.noise import Noise
from ddm_core.probes.base import PROBES
from ddm_core.probes.contribution import increments
from ddm_core.rollout import Step, rollout
from ddm_core.routes import build_ensemble, parse_route
from ddm_core.samplers.base import SAMPLERS
from ddm_core.systems import load_system
from ddm_core.systems.analytic import RingSettings, ring
from ddm_core.systems.base import System
from ddm_core.testing import network_system
from ddm_core.testing.probes import recorded

SYSTEMS: dict[str, Callable[[], System]] = {
    "ring": ring,
    "ring, vp": lambda: ring(RingSettings(schedule="vp")),
    "digits": lambda: load_system("digits"),
}


def walked(system: System, route: str, steps: int, *, dense: bool) -> tuple[Tensor, list[Step]]:
    """x_T and the steps of two samples in float64, by Euler's method."""
    noise = Noise((3, 4), system.shape, torch.float64)
    system = system.to(noise.device, torch.float64)
    ensemble = build_ensemble(system, parse_route(route), dense=dense)
    ensemble.keep = True
    x_T = noise.initial()
    with torch.no_grad():
        walk = rollout(ensemble, SAMPLERS.parse("euler"), x_T, system.schedule.times(steps), noise)
        return x_T, list(walk)


@pytest.mark.parametrize("name", SYSTEMS)
def test_noise_and_all_contributions_are_the_picture(name: str) -> None:
    for route, dense in (("full", True), ("top_k:k=2", False), ("top_k:k=1", True)):
        x_T, steps = walked(SYSTEMS[name](), route, 4, dense=dense)
        parts = [increments(step) for step in steps]
        assert all(bool(part.isfinite().all()) for part in parts)
        painted = torch.stack(parts).sum(dim=0)
        torch.testing.assert_close(x_T + painted.sum(dim=1), steps[-1].x_s, rtol=1e-11, atol=1e-11)
        # Who was never asked painted nothing.
        asked = torch.stack([step.mixture.weights for step in steps]).amax(dim=0) > 0
        assert bool((painted.flatten(2).abs().amax(dim=2) > 0).eq(asked).all())


@pytest.mark.parametrize("route", ["full", "top_k:k=2"])
def test_shares_are_those_of_a_count_pixel_by_pixel(route: str) -> None:
    system = network_system()
    seeds, steps = (11, 12), 3
    probe = PROBES.parse("contribution")
    got = recorded(system, [probe], route=route, seeds=seeds, steps=steps, dtype=torch.float64)
    noise = Noise(seeds, system.shape, torch.float64)
    system = system.to(noise.device, torch.float64)
    ensemble = build_ensemble(system, parse_route(route), dense=True)
    times = system.schedule.times(steps)
    sums = np.zeros((len(seeds), len(system.experts), *system.shape))
    with torch.no_grad():
        walk = rollout(ensemble, SAMPLERS.parse("euler"), noise.initial(), times, noise)
        for index, step in enumerate(walk):
            weights = step.mixture.weights.numpy()
            for i in range(len(seeds)):
                for k, expert in enumerate(system.experts):
                    t = torch.full((1,), step.t, dtype=torch.float64)
                    v = expert(step.x_t[i : i + 1], t, None)[0].numpy()
                    sums[i, k] += (step.s - step.t) * weights[i, k] * v
            amount = np.sqrt((sums**2).sum(axis=2))
            shares = 255 * amount / amount.sum(axis=1, keepdims=True)
            now = got.trace["contribution"].values[index].astype(float)
            np.testing.assert_allclose(now, shares, atol=0.5001)
