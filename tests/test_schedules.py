"""Schedules: every conversion against its definition, and networks of every prediction."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from ddm_core.denoise import NetworkDenoiser
from ddm_core.errors import RequestError
from ddm_core.schedules import Cosine, Linear, Schedule, VariancePreserving, schedule_named

SCHEDULES = (Linear(), Cosine(), VariancePreserving(), VariancePreserving(0.3, 8.0))

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)


class State:
    """Some x_t with what it was made of, at times all over the path."""

    def __init__(self, schedule: Schedule) -> None:
        random = torch.Generator().manual_seed(0)
        self.t = torch.linspace(0.01, 0.99, 15, dtype=torch.float64)
        self.x_0 = torch.randn(15, 3, 2, 2, generator=random, dtype=torch.float64)
        self.eps = torch.randn(15, 3, 2, 2, generator=random, dtype=torch.float64)
        self.x_t = schedule.noised(self.x_0, self.eps, self.t)
        self.v = schedule.velocity(self.x_0, self.eps, self.t)


def derivative(function: object, t: Tensor) -> Tensor:
    """d function(t) / dt [sample], by automatic differentiation."""
    t = t.clone().requires_grad_(True)
    value = function(t)  # type: ignore[operator]
    (slope,) = torch.autograd.grad(value.sum(), t)
    return slope


@every_schedule
def test_derivatives_are_derivatives(schedule: Schedule) -> None:
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64)
    d_alpha, d_sigma = schedule.derivatives(t)
    torch.testing.assert_close(d_alpha, derivative(lambda t: schedule.alpha_sigma(t)[0], t))
    torch.testing.assert_close(d_sigma, derivative(lambda t: schedule.alpha_sigma(t)[1], t))


@every_schedule
def test_the_path_leads_from_data_to_noise(schedule: Schedule) -> None:
    zero, one = torch.tensor(0.0, dtype=torch.float64), torch.tensor(1.0, dtype=torch.float64)
    assert [float(a) for a in schedule.alpha_sigma(zero)] == [1.0, 0.0]
    alpha, sigma = schedule.alpha_sigma(one)
    assert 0 <= float(alpha) < 0.15
    assert float(sigma) == pytest.approx(1.0, abs=0.02)
    t = torch.linspace(0, 1, 100, dtype=torch.float64)
    alpha, sigma = schedule.alpha_sigma(t)
    assert bool((alpha.diff() < 0).all())
    assert bool((sigma.diff() > 0).all())
    if not isinstance(schedule, Linear):
        torch.testing.assert_close(alpha**2 + sigma**2, torch.ones_like(t))


def test_vp_is_the_limit_of_ddpm() -> None:
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    products = (1 - betas).cumprod(dim=0)
    t = torch.arange(1, 1001, dtype=torch.float64) / 1000
    alpha, _ = VariancePreserving().alpha_sigma(t)
    torch.testing.assert_close(alpha**2, products, rtol=0.15, atol=2e-4)


@every_schedule
@pytest.mark.parametrize("steps", [1, 2, 50, 999])
def test_times_fall_evenly_to_zero(schedule: Schedule, steps: int) -> None:
    times = schedule.times(steps)
    assert len(times) == steps + 1
    assert times[0] == schedule.t_max
    assert times[-1] == 0.0
    gaps = -torch.tensor(times, dtype=torch.float64).diff()
    torch.testing.assert_close(gaps, torch.full_like(gaps, schedule.t_max / steps))


@every_schedule
def test_conversions_agree_with_what_the_state_was_made_of(schedule: Schedule) -> None:
    state = State(schedule)
    tight = {"rtol": 1e-9, "atol": 1e-9}
    x_t, v, t = state.x_t, state.v, state.t
    torch.testing.assert_close(schedule.x_0(x_t, v, t), state.x_0, **tight)
    torch.testing.assert_close(schedule.eps(x_t, v, t), state.eps, **tight)
    torch.testing.assert_close(schedule.v_from_x_0(x_t, state.x_0, t), v, **tight)
    torch.testing.assert_close(schedule.v_from_eps(x_t, state.eps, t), v, **tight)


@every_schedule
def test_velocity_is_the_derivative_of_the_path(schedule: Schedule) -> None:
    state = State(schedule)
    h = 1e-6
    ahead = schedule.noised(state.x_0, state.eps, state.t + h)
    behind = schedule.noised(state.x_0, state.eps, state.t - h)
    torch.testing.assert_close((ahead - behind) / (2 * h), state.v, rtol=1e-6, atol=1e-6)


@every_schedule
def test_one_time_for_all_samples_is_the_same(schedule: Schedule) -> None:
    state = State(schedule)
    t = torch.tensor(0.3, dtype=torch.float64)
    each = t.expand(15)
    torch.testing.assert_close(
        schedule.x_0(state.x_t, state.v, t), schedule.x_0(state.x_t, state.v, each)
    )
    torch.testing.assert_close(
        schedule.noised(state.x_0, state.eps, t), schedule.noised(state.x_0, state.eps, each)
    )


@every_schedule
def test_mixing_velocities_mixes_predictions(schedule: Schedule) -> None:
    """Weights that sum to one give the same mixture in v, x_0 and eps."""
    state = State(schedule)
    other = schedule.velocity(state.x_0.flip(0), state.eps.flip(0), state.t)
    mixed = 0.3 * state.v + 0.7 * other
    for convert in (schedule.x_0, schedule.eps):
        torch.testing.assert_close(
            convert(state.x_t, mixed, state.t),
            0.3 * convert(state.x_t, state.v, state.t) + 0.7 * convert(state.x_t, other, state.t),
        )


class Constant(nn.Module):
    """A network that knows the answer."""

    def __init__(self, answer: Tensor) -> None:
        super().__init__()
        self.answer = answer

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.answer


@every_schedule
@pytest.mark.parametrize("prediction", ["v", "x_0", "eps"])
def test_every_prediction_is_the_same_velocity(schedule: Schedule, prediction: str) -> None:
    state = State(schedule)
    answer: Tensor = getattr(state, prediction)
    denoiser = NetworkDenoiser(Constant(answer), schedule, prediction)
    torch.testing.assert_close(denoiser(state.x_t, state.t), state.v, rtol=1e-9, atol=1e-9)


def test_wrong_names_are_told_with_the_alternatives() -> None:
    with pytest.raises(RequestError, match="no schedule 'edm'; there are: cosine, linear, vp"):
        schedule_named("edm")
    with pytest.raises(RequestError, match="no prediction 'score'; there are: eps, v, x_0"):
        NetworkDenoiser(nn.Identity(), Linear(), "score")
    assert type(schedule_named("vp")) is VariancePreserving
