"""What every sampler promises: a pure step, its order of convergence, samples of the data."""

from __future__ import annotations

import itertools
import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from ddm_core.ensemble import Memory, Mixture
from ddm_core.samplers.base import SAMPLERS, Mix, Sampler, Transition
from ddm_core.systems.analytic import RingSettings, ring
from ddm_core.systems.base import System
from ddm_core.testing.component import Contract

__all__ = ["SamplerContract", "exact", "sampled", "smooth_ring"]

_SCHEDULES = ("linear", "cosine", "vp")


class SamplerContract(Contract):
    """Tests of samplers, on closed-form fields."""

    registry: ClassVar = SAMPLERS

    @pytest.mark.parametrize("schedule", _SCHEDULES)
    def test_a_step_is_pure(self, spec: str, schedule: str) -> None:
        sampler, system = SAMPLERS.parse(spec), smooth_ring(schedule)
        x_t, fresh = _normal(5, 0), _normal(5, 1)
        before = x_t.clone(), fresh.clone()
        first = _step(sampler, system, x_t, fresh)
        again = _step(sampler, system, x_t, fresh)
        assert first.x_s.shape == x_t.shape
        assert first.x_s.dtype == x_t.dtype
        assert torch.equal(first.x_s, again.x_s)
        assert torch.equal(x_t, before[0])
        assert torch.equal(fresh, before[1])
        # Each stage of the step has asked all experts.
        assert first.calls.shape == (5,)
        assert bool((first.calls % len(system.experts) == 0).all())
        assert bool((first.calls > 0).all())

    @pytest.mark.parametrize("schedule", _SCHEDULES)
    def test_a_sample_walks_alone(self, spec: str, schedule: str) -> None:
        sampler, system = SAMPLERS.parse(spec), smooth_ring(schedule)
        x = sampled(sampler, system, 5, 4)
        alone = sampled(sampler, system, 1, 4)
        torch.testing.assert_close(alone, x[:1], rtol=1e-10, atol=1e-10)

    def test_noise_is_used_as_declared(self, spec: str) -> None:
        sampler, system = SAMPLERS.parse(spec), smooth_ring("linear")
        x_t = _normal(5, 0)
        one = _step(sampler, system, x_t, _normal(5, 1)).x_s
        other = _step(sampler, system, x_t, _normal(5, 2)).x_s
        assert torch.equal(one, other) != sampler.stochastic
        assert (sampler.order is None) == sampler.stochastic

    @pytest.mark.parametrize("schedule", ["linear", "cosine"])
    def test_converges_with_its_order(self, spec: str, schedule: str) -> None:
        sampler, system = SAMPLERS.parse(spec), smooth_ring(schedule)
        if sampler.order is None:
            return
        # |x_N - x_2N| shrinks by 2^order each time that N is doubled.
        ends = [sampled(sampler, system, 64, steps) for steps in (40, 80, 160)]
        first, second = ((a - b).norm() for a, b in itertools.pairwise(ends))
        order = math.log2(float(first / second))
        assert order == pytest.approx(sampler.order, abs=0.15)

    @pytest.mark.parametrize("schedule", _SCHEDULES)
    def test_samples_are_distributed_like_the_data(self, spec: str, schedule: str) -> None:
        system = smooth_ring(schedule)
        count = 4000
        x = sampled(SAMPLERS.parse(spec), system, count, 60)
        centres = system.clusters.centroids
        covariance = centres.T @ centres / len(centres)
        covariance += system.clusters.spread**2 * torch.eye(2, dtype=x.dtype)
        # Five standard errors, and a few percent for the length of the steps.
        error = 5 * math.sqrt(float(covariance.diagonal().max()) / count)
        assert float(x.mean(dim=0).norm()) < error + 0.02
        torch.testing.assert_close(torch.cov(x.T), covariance, rtol=0, atol=error + 0.04)


def smooth_ring(schedule: str) -> System:
    """Three wide clusters, whose flow bends gently."""
    return ring(RingSettings(experts=3, spread=0.4, schedule=schedule))


def sampled(sampler: Sampler, system: System, count: int, steps: int) -> Tensor:
    """x_0 [sample, *], the first samples the same for any count."""
    x = _normal(count, 0)
    mix = exact(system)
    for index, (t, s) in enumerate(itertools.pairwise(system.schedule.times(steps))):
        fresh = _normal(count, index + 1) if sampler.stochastic else None
        x = sampler.step(mix, system.schedule, x, t, s, fresh).x_s
    return x


def exact(system: System) -> Mix:
    """The closed-form field of the whole mixture, as if all experts had been asked."""
    field = system.monolith
    assert field is not None
    experts = len(system.experts)

    def mix(x_t: Tensor, t: float, after: Mixture | None = None) -> Mixture:
        times = torch.full((len(x_t),), t, dtype=x_t.dtype)
        v = field(x_t, times)
        even = x_t.new_full((len(x_t), experts), 1 / experts)
        calls = torch.full((len(x_t),), experts)
        mean = system.schedule.x_0(x_t, v, times)
        return Mixture(v, mean, even, even, None, calls, Memory())

    return mix


def _normal(count: int, seed: int) -> Tensor:
    random = np.random.default_rng(seed)
    return torch.from_numpy(random.standard_normal((count, 2)))


def _step(sampler: Sampler, system: System, x_t: Tensor, noise: Tensor) -> Transition:
    return sampler.step(exact(system), system.schedule, x_t, 0.8, 0.5, noise)
