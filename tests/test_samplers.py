"""Samplers: what all promise, and each against another library or a closed form."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from ddm_core.ensemble import Memory, Mixture
from ddm_core.samplers.base import SAMPLERS, Mix
from ddm_core.schedules import Linear, Schedule, schedule_named
from ddm_core.testing import SamplerContract
from ddm_core.testing.samplers import sampled, smooth_ring

SHAPE = (4, 3, 5, 5)


class TestEverySampler(SamplerContract):
    specs = tuple(SAMPLERS)


class Looked(Schedule):
    """The discrete path of another library: t is a timestep, alpha_t is looked up.

    Its derivatives are made up: ddim asks for nothing but a pair that tells x_0 and eps apart.
    """

    def __init__(self, alphas_cumprod: Tensor) -> None:
        # t = 0 is clean data; t = i + 1 is the library's timestep i.
        self.products = torch.cat((torch.ones(1, dtype=torch.float64), alphas_cumprod.double()))

    def alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        product = self.products[t.round().long()]
        return product.sqrt(), (1 - product).sqrt()

    def derivatives(self, t: Tensor) -> tuple[Tensor, Tensor]:
        # Any pair that is not a multiple of (alpha, sigma) gives the same x_0 and eps.
        alpha, sigma = self.alpha_sigma(t)
        return -sigma, alpha


def network(x: Tensor, t: float) -> Tensor:
    """A smooth function that stands for a trained network."""
    return torch.sin(1.7 * x + t) + 0.3 * x.roll(1, dims=-1)


def field(schedule: Schedule, velocity: Tensor, x_t: Tensor, t: Tensor) -> Mixture:
    """A mixture of one."""
    one = torch.ones(len(x_t), 1, dtype=x_t.dtype)
    mean = schedule.x_0(x_t, velocity, t)
    calls = torch.ones(len(x_t), dtype=torch.long)
    return Mixture(velocity, mean, one, one, None, calls, Memory())


def predicts_v(schedule: Schedule) -> Mix:
    def mix(x_t: Tensor, t: float, after: Mixture | None = None) -> Mixture:
        return field(schedule, network(x_t, t), x_t, torch.tensor(t, dtype=x_t.dtype))

    return mix


def predicts_eps(schedule: Schedule) -> Mix:
    def mix(x_t: Tensor, t: float, after: Mixture | None = None) -> Mixture:
        at = torch.tensor(t, dtype=x_t.dtype)
        v = schedule.v_from_eps(x_t, network(x_t, t), at)
        return field(schedule, v, x_t, at)

    return mix


def noise(seed: int = 0) -> Tensor:
    random = torch.Generator().manual_seed(seed)
    return torch.randn(SHAPE, dtype=torch.float64, generator=random)


def walked(name: str, schedule: Schedule, mix: Mix, times: list[float]) -> Tensor:
    """From noise along the times, without fresh noise."""
    x = noise()
    for t, s in itertools.pairwise(times):
        x = SAMPLERS.parse(name).step(mix, schedule, x, t, s, None).x_s
    return x


def test_euler_is_ddim_on_the_linear_path() -> None:
    schedule = Linear()
    times = schedule.times(17)
    euler, ddim = (walked(n, schedule, predicts_v(schedule), times) for n in ("euler", "ddim"))
    torch.testing.assert_close(euler, ddim, rtol=1e-12, atol=1e-12)
    vp = schedule_named("vp")
    euler, ddim = (walked(n, vp, predicts_v(vp), [0.8, 0.5, 0.2]) for n in ("euler", "ddim"))
    assert float((euler - ddim).abs().max()) > 1e-2


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_euler_is_that_of_diffusers(shift: float) -> None:
    # Late: it takes seconds to import, and every worker reads every file.
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import (
        FlowMatchEulerDiscreteScheduler,
    )

    other = FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=shift)
    other.set_timesteps(20)
    times = [float(sigma) for sigma in other.sigmas]
    assert len(times) == 21
    x = noise()
    for t, timestep in zip(times, other.timesteps, strict=False):
        x = other.step(network(x, t), timestep, x, return_dict=False)[0]
    ours = walked("euler", Linear(), predicts_v(Linear()), times)
    # Their sigmas are in single precision, ours are the same numbers.
    torch.testing.assert_close(ours, x.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_ddim_is_that_of_diffusers(spacing: str) -> None:
    # Late: it takes seconds to import, and every worker reads every file.
    from diffusers.schedulers.scheduling_ddim import DDIMScheduler

    other = DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="linear",
        clip_sample=False,
        set_alpha_to_one=True,
        timestep_spacing=spacing,
        prediction_type="epsilon",
    )
    other.set_timesteps(25)
    # Their table is in single precision, and so are the roots that they take of it.
    other.alphas_cumprod = other.alphas_cumprod.double()
    timesteps = [int(t) for t in other.timesteps]
    schedule = Looked(other.alphas_cumprod)
    x = noise()
    for timestep in timesteps:
        x = other.step(network(x, timestep + 1), timestep, x, eta=0.0, return_dict=False)[0]
    # They leave a step of 40 timesteps below the last one, which may end before the clean state.
    ends = [*(t + 1 for t in timesteps), max(timesteps[-1] - 40 + 1, 0)]
    ours = walked("ddim", schedule, predicts_eps(schedule), [float(t) for t in ends])
    torch.testing.assert_close(ours, x, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["linear", "cosine", "vp"])
def test_ddpm_adds_the_noise_of_the_posterior(name: str) -> None:
    """mean and variance of q(x_s | x_t, x_0), from the two Gaussians that it is made of."""
    schedule = schedule_named(name)
    t, s = (torch.tensor(v, dtype=torch.float64) for v in (0.7, 0.4))
    (a_t, b_t), (a_s, b_s) = schedule.alpha_sigma(t), schedule.alpha_sigma(s)
    x_0, x_t = 0.3, 0.9
    # q(x_s | x_0) = N(a_s x_0, b_s^2), q(x_t | x_s) = N(c x_s, d^2)
    c = a_t / a_s
    d2 = b_t**2 - c**2 * b_s**2
    precision = 1 / b_s**2 + c**2 / d2
    variance = 1 / precision
    mean = variance * (a_s * x_0 / b_s**2 + c * x_t / d2)

    def mix(x: Tensor, at: float) -> Mixture:
        when = torch.tensor(at, dtype=x.dtype)
        v = schedule.v_from_x_0(x, torch.full_like(x, x_0), when)
        return field(schedule, v, x, when)

    ddpm = SAMPLERS.parse("ddpm")
    x = torch.full((1, 1), x_t, dtype=torch.float64)
    still = ddpm.step(mix, schedule, x, 0.7, 0.4, torch.zeros_like(x)).x_s
    moved = ddpm.step(mix, schedule, x, 0.7, 0.4, torch.ones_like(x)).x_s
    assert float(still) == pytest.approx(float(mean), rel=1e-10)
    assert float((moved - still) ** 2) == pytest.approx(float(variance), rel=1e-10)
    # And the statistics of many draws.
    many = torch.full((20_000, 1), x_t, dtype=torch.float64)
    z = torch.from_numpy(np.random.default_rng(0).standard_normal((20_000, 1)))
    drawn = ddpm.step(mix, schedule, many, 0.7, 0.4, z).x_s
    assert float(drawn.mean()) == pytest.approx(
        float(mean), abs=5 * float(variance / 20_000) ** 0.5
    )
    assert float(drawn.var()) == pytest.approx(float(variance), rel=0.05)


def test_ddpm_ends_without_noise_and_starts_from_pure_noise() -> None:
    ddpm, schedule = SAMPLERS.parse("ddpm"), Linear()
    mix = predicts_v(schedule)
    x = noise()
    into_data = [ddpm.step(mix, schedule, x, 0.1, 0.0, noise(seed)).x_s for seed in (1, 2)]
    torch.testing.assert_close(*into_data, rtol=0, atol=1e-14)
    torch.testing.assert_close(into_data[0], mix(x, 0.1).mean)
    # alpha_1 = 0: the state at t = 1 says nothing about x_s beyond x_0.
    done = ddpm.step(mix, schedule, x, 1.0, 0.6, noise(1)).x_s
    expected = 0.4 * mix(x, 1.0).mean + 0.6 * noise(1)
    torch.testing.assert_close(done, expected)


def test_heun_has_two_stages_and_euler_one() -> None:
    for name, stages in (("euler", 1), ("ddim", 1), ("ddpm", 1), ("heun", 2)):
        for s, count in ((0.2, stages), (0.0, 1)):
            mix = predicts_v(Linear())
            done = SAMPLERS.parse(name).step(mix, Linear(), noise(), 0.5, s, noise(1))
            assert done.calls.tolist() == [count] * 4


def test_all_samplers_end_at_the_same_place() -> None:
    ends = {
        name: sampled(SAMPLERS.parse(name), smooth_ring("cosine"), 32, steps)
        for name, steps in (("euler", 400), ("ddim", 400), ("heun", 60))
    }
    for name in ("euler", "ddim"):
        assert float((ends[name] - ends["heun"]).abs().max()) < 0.02
