"""The ring in double precision: everything about it is known, so everything is compared.

The closed forms are computed here by another way than in the program: densities by
torch.distributions, scores and Jacobians by automatic differentiation.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from ddm_core.ensemble import Ensemble
from ddm_core.noise import Noise
from ddm_core.probes.base import PROBES
from ddm_core.rollout import rollout
from ddm_core.routes import build_ensemble, parse_route
from ddm_core.samplers.base import SAMPLERS
from ddm_core.systems.analytic import RingSettings, ring
from ddm_core.systems.base import System
from ddm_core.testing.probes import recorded

RINGS = tuple(
    RingSettings(experts=k, spread=spread, schedule=schedule)
    for (k, spread), schedule in itertools.product(
        [(1, 0.1), (2, 0.5), (6, 0.1), (64, 0.03)], ["linear", "cosine", "vp"]
    )
)

every_ring = pytest.mark.parametrize(
    "settings", RINGS, ids=lambda s: f"{s.experts}-{s.spread}-{s.schedule}"
)


def states(system: System, count: int = 40) -> tuple[Tensor, Tensor]:
    """x_t [sample, 2] that belong to the mixture at times t [sample], and some that do not."""
    random = torch.Generator().manual_seed(0)
    t = torch.rand(count, generator=random, dtype=torch.float64) * 0.94 + 0.03
    x_0 = system.clusters.centroids[torch.arange(count) % len(system.experts)]
    eps = torch.randn(count, 2, generator=random, dtype=torch.float64)
    x_t = system.schedule.noised(x_0, eps, t)
    x_t[::4] *= 3
    return x_t, t


def density(system: System, t: Tensor) -> MixtureSameFamily:
    """p_t for each t [sample], by the library."""
    alpha, sigma = system.schedule.alpha_sigma(t)
    centres = alpha[:, None, None] * system.clusters.centroids
    scale = (alpha**2 * system.clusters.spread**2 + sigma**2).sqrt()[:, None, None]
    return MixtureSameFamily(
        Categorical(torch.ones(centres.shape[:2], dtype=torch.float64)),
        Independent(Normal(centres, scale.expand_as(centres)), 1),
    )


def flow_by_score(system: System, x_t: Tensor, t: Tensor) -> Tensor:
    """The probability flow's velocity from the score that differentiation gives."""
    x = x_t.clone().requires_grad_(True)
    (score,) = torch.autograd.grad(density(system, t).log_prob(x).sum(), x)
    alpha, sigma = (a[:, None] for a in system.schedule.alpha_sigma(t))
    d_alpha, d_sigma = (a[:, None] for a in system.schedule.derivatives(t))
    return d_alpha * (x_t + sigma**2 * score) / alpha - d_sigma * sigma * score


def ensemble(system: System, route: str) -> Ensemble:
    """The route's field."""
    return build_ensemble(system, parse_route(route))


@every_ring
def test_exact_full_is_the_flow_of_the_mixture(settings: RingSettings) -> None:
    system = ring(settings)
    x_t, t = states(system)
    flow = flow_by_score(system, x_t, t)
    for route in ("exact/full", "full", "exact/nucleus:p=1", "monolith"):
        v = ensemble(system, route)(x_t, t)
        scale = 1 + flow.abs().amax(dim=1, keepdim=True)
        assert float(((v - flow).abs() / scale).max()) < 1e-10, route


@every_ring
def test_the_router_is_the_posterior(settings: RingSettings) -> None:
    system = ring(settings)
    x_t, t = states(system)
    mixture = density(system, t)
    parts = mixture.component_distribution.log_prob(x_t[:, None])
    expected = torch.softmax(parts, dim=1)
    got = ensemble(system, "exact/full").mix(x_t, t).probabilities
    torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-12)
    assert system.monolith is not None
    log_density = system.monolith.log_density(x_t, t)  # type: ignore[operator]
    torch.testing.assert_close(log_density, mixture.log_prob(x_t), rtol=1e-10, atol=1e-10)


@every_ring
def test_an_expert_alone_knows_one_cluster(settings: RingSettings) -> None:
    """Each expert is the exact flow of a ring that has its cluster only."""
    system = ring(settings)
    x_t, t = states(system)
    alpha, sigma = (a[:, None] for a in system.schedule.alpha_sigma(t))
    d_alpha, d_sigma = (a[:, None] for a in system.schedule.derivatives(t))
    s2 = system.clusters.spread**2
    for k in {0, settings.experts // 2, settings.experts - 1}:
        mu = system.clusters.centroids[k]
        score = -(x_t - alpha * mu) / (alpha**2 * s2 + sigma**2)
        expected = d_alpha * (x_t + sigma**2 * score) / alpha - d_sigma * sigma * score
        v = ensemble(system, f"fixed:expert={k}/full")(x_t, t)
        torch.testing.assert_close(v, expected, rtol=1e-8, atol=1e-8)


def test_noise_is_the_start_on_the_linear_path() -> None:
    """alpha_1 = 0: nothing may divide by it."""
    system = ring()
    x_t = torch.randn(8, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    t = torch.ones(8, dtype=torch.float64)
    mixture = ensemble(system, "exact/full").mix(x_t, t)
    torch.testing.assert_close(mixture.mean, torch.zeros_like(x_t), rtol=0, atol=1e-15)
    torch.testing.assert_close(mixture.velocity, x_t, rtol=1e-14, atol=1e-14)
    v = ensemble(system, "monolith")(x_t, t)
    torch.testing.assert_close(v, x_t, rtol=1e-14, atol=1e-14)


def test_centres_stand_evenly_on_the_circle() -> None:
    system = ring(RingSettings(experts=5, radius=2.5, spread=0.3))
    c = system.clusters.centroids.numpy()
    np.testing.assert_allclose(np.linalg.norm(c, axis=1), 2.5)
    sides = np.linalg.norm(c - np.roll(c, 1, axis=0), axis=1)
    np.testing.assert_allclose(sides, 2 * 2.5 * math.sin(math.pi / 5))
    assert float(system.clusters.proportions.sum()) == pytest.approx(1)


def test_error_is_zero_at_home_and_as_large_as_said_abroad() -> None:
    exact, wrong = ring(RingSettings(experts=4)), ring(RingSettings(experts=4, error=0.5))
    t = torch.full((4,), 0.05, dtype=torch.float64)
    at_home = system_centres(exact) * 0.95
    deviation = math.sqrt(1 / 2 + 0.1**2)
    shifts: list[Tensor] = []
    for k in range(4):
        route = parse_route(f"fixed:expert={k}/full")
        right = build_ensemble(exact, route).mix(at_home, t).mean
        off = build_ensemble(wrong, route).mix(at_home, t).mean - right
        assert float(off[k].norm()) < 1e-10
        abroad = off[[i for i in range(4) if i != k]]
        torch.testing.assert_close(abroad.norm(dim=1), torch.full_like(t[:3], 0.5 * deviation))
        shifts.append(abroad[0])
    # Each errs in its own direction: errors do not simply add up.
    angles = np.array([math.atan2(float(s[1]), float(s[0])) for s in shifts])
    assert min(abs(np.subtract.outer(angles, angles))[np.triu_indices(4, 1)]) > 0.3
    assert exact.digest != wrong.digest


def system_centres(system: System) -> Tensor:
    """Centres [expert, 2]."""
    return system.clusters.centroids


def test_with_errors_the_full_ensemble_is_not_the_flow() -> None:
    system = ring(RingSettings(error=0.5))
    x_t, t = states(system)
    away = (ensemble(system, "exact/full")(x_t, t) - flow_by_score(system, x_t, t)).norm(dim=1)
    assert float(away.median()) > 1e-3
    assert torch.allclose(ensemble(system, "monolith")(x_t, t), flow_by_score(system, x_t, t))


@pytest.mark.parametrize("schedule", ["linear", "cosine", "vp"])
def test_sampling_reproduces_the_mixture(schedule: str) -> None:
    """Moments, shares of the clusters and energy distance, within what chance allows."""
    system = ring(RingSettings(experts=3, spread=0.15, schedule=schedule))
    n = 256
    x = recorded(
        system,
        [],
        route="exact/full",
        sampler="heun",
        seeds=range(n),
        steps=60,
        dtype=torch.float64,
    ).samples.numpy()
    centres = system_centres(system).numpy()
    distance = cdist(x, centres)
    shares = np.bincount(distance.argmin(axis=1), minlength=3) / n
    np.testing.assert_allclose(shares, 1 / 3, atol=4 * math.sqrt(2 / 9 / n))
    spread = math.sqrt((distance.min(axis=1) ** 2).mean() / 2)
    assert spread == pytest.approx(0.15, rel=4 / math.sqrt(4 * n) + 0.04)
    random = np.random.default_rng(0)

    def exact(count: int) -> np.ndarray:
        return centres[random.integers(3, size=count)] + 0.15 * random.standard_normal((count, 2))

    def energy(a: np.ndarray, b: np.ndarray) -> float:
        def within(c: np.ndarray) -> float:
            return cdist(c, c).sum() / (len(c) * (len(c) - 1))

        return 2 * cdist(a, b).mean() - within(a) - within(b)

    reference = exact(2000)
    by_chance = [energy(exact(n), reference) for _ in range(20)]
    assert energy(x, reference) < np.mean(by_chance) + 4 * np.std(by_chance)
    # The same yardstick sees samples that are wrong.
    assert energy(1.3 * x, reference) > np.mean(by_chance) + 4 * np.std(by_chance)


def jacobian(route: Ensemble, x: Tensor, t: float, weights: Tensor | None = None) -> Tensor:
    """dv/dx [2, 2] at one state [2]."""
    at = torch.full((1,), t, dtype=x.dtype)
    j = torch.autograd.functional.jacobian(
        lambda y: route.mix(y[None], at, weights=weights).velocity[0], x
    )
    assert isinstance(j, Tensor)
    return j


ROUTES = ("exact/full", "exact/top_k:k=2", "exact:temperature=3/full", "uniform/full")


@pytest.mark.parametrize("route", ROUTES)
def test_local_lipschitz_is_the_largest_singular_value(route: str) -> None:
    system = ring(RingSettings(experts=5, spread=0.25))
    probe = PROBES.parse("local_lipschitz:iterations=40:first=40")
    state = PROBES.parse("state")
    run = recorded(system, [probe, state], route=route, steps=4, dtype=torch.float64)
    field = ensemble(system, route)
    for index, t in enumerate(run.trace.t.values):
        for row in range(len(run.samples)):
            x = torch.from_numpy(run.trace.state.values[index, row])
            expected = torch.linalg.matrix_norm(jacobian(field, x, float(t)), ord=2)
            got = run.trace.local_lipschitz.values[index, row]
            # Two singular values that are close are told apart slowly, and always from below.
            assert got <= float(expected) * (1 + 1e-9)
            assert got == pytest.approx(float(expected), rel=1e-2)


def test_local_lipschitz_is_a_lower_bound_with_few_iterations() -> None:
    system = ring()
    names = ("local_lipschitz:iterations=1:first=1", "local_lipschitz:iterations=40:first=40")
    few, many = (
        recorded(
            system, [PROBES.parse(name)], route="exact/full", steps=8, dtype=torch.float64
        ).trace.local_lipschitz
        for name in names
    )
    assert bool((few <= many * (1 + 1e-9)).all())
    assert float((few / many).mean()) > 0.7


def test_mean_slope_lies_below_the_largest_singular_value() -> None:
    system = ring()
    slope = PROBES.parse("local_lipschitz_difference:directions=50:h=1e-4")
    top = PROBES.parse("local_lipschitz:iterations=40:first=40")
    state = PROBES.parse("state")
    run = recorded(system, [slope, top, state], route="exact/full", steps=5, dtype=torch.float64)
    assert bool((run.trace.local_lipschitz_difference <= run.trace.local_lipschitz * 1.01).all())
    # In two dimensions the mean over directions is an elliptic integral; compare by a fine sum.
    field = ensemble(system, "exact/full")
    angle = torch.arange(400, dtype=torch.float64) / 400 * 2 * math.pi
    circle = torch.stack((angle.cos(), angle.sin()))
    for index, t in enumerate(run.trace.t.values):
        x = torch.from_numpy(run.trace.state.values[index, 0])
        mean = float((jacobian(field, x, float(t)) @ circle).norm(dim=0).mean())
        got = float(run.trace.local_lipschitz_difference[index, 0])
        assert got == pytest.approx(mean, rel=0.25)


@pytest.mark.parametrize("route", ["exact/full", "uniform/full", "exact:temperature=2/full"])
@pytest.mark.parametrize("frozen", [False, True])
def test_growth_is_the_product_of_the_jacobians(route: str, frozen: bool) -> None:
    """|prod_i (I + (s_i - t_i) J_i) u| for an infinitesimal u under Euler."""
    system = ring(RingSettings(experts=5, spread=0.25))
    name = "perturbation_growth_frozen" if frozen else "perturbation_growth"
    run = recorded(
        system,
        [PROBES.parse(f"{name}:h=1e-6"), PROBES.parse("state"), PROBES.parse("weights")],
        route=route,
        steps=6,
        dtype=torch.float64,
    )
    seeds = tuple(int(seed) for seed in run.trace.sample.values)
    directions = Noise(seeds, (2,), torch.float64).direction()
    times = [*run.trace.t.values, 0.0]
    field = ensemble(system, route)
    for row, u in enumerate(directions):
        for index in range(6):
            x = torch.from_numpy(run.trace.state.values[index, row])
            w = torch.from_numpy(run.trace.weights.values[index, row])[None] if frozen else None
            u = u + (times[index + 1] - times[index]) * jacobian(field, x, times[index], w) @ u
            assert float(run.trace[name][index, row]) == pytest.approx(float(u.norm()), rel=1e-3)


def test_one_step_grows_by_no_more_than_the_bound() -> None:
    """growth_i+1 / growth_i <= 1 + |dt| L_i for an infinitesimal perturbation."""
    names = ("perturbation_growth:h=1e-6", "local_lipschitz:iterations=40:first=40")
    probes = [PROBES.parse(name) for name in names]
    trace = recorded(ring(), probes, route="exact/full", steps=10, dtype=torch.float64).trace
    growth = np.vstack((np.ones((1, trace.sizes["sample"])), trace.perturbation_growth))
    bound = 1 + 0.1 * trace.local_lipschitz.values
    assert bool((growth[1:] / growth[:-1] <= bound * 1.001).all())


def test_the_flow_contracts_like_a_single_gaussian() -> None:
    """K = 1: dx_0 / dx_T is the ratio of standard deviations, the spread, whatever the state."""
    system = ring(RingSettings(experts=1, spread=0.3))
    run = recorded(
        system,
        [PROBES.parse("perturbation_growth:h=1e-3")],
        route="top_k",
        sampler="heun",
        steps=200,
        dtype=torch.float64,
    )
    np.testing.assert_allclose(run.trace.perturbation_growth[-1], 0.3, rtol=2e-3)


def test_distances_angles_and_entropy_by_their_formulas() -> None:
    system = ring(RingSettings(experts=5, spread=0.2))
    names = [n for n in PROBES if not PROBES[n].images_only and not PROBES[n].costly]
    probes = [PROBES.parse(name) for name in names]
    trace = recorded(system, probes, route="exact/top_k:k=2", steps=4, dtype=torch.float64).trace
    field = build_ensemble(system, parse_route("exact/top_k:k=2"), dense=True)
    centres = system_centres(system).numpy()
    for index, t in enumerate(trace.t.values):
        x_t = torch.from_numpy(trace.state.values[index])
        at = torch.full((len(x_t),), float(t), dtype=torch.float64)
        mixture = field.mix(x_t, at)
        assert mixture.experts is not None
        v, mix = mixture.experts.numpy(), mixture.velocity.numpy()
        w, p = mixture.weights.numpy(), mixture.probabilities.numpy()
        here = trace.isel(step=index)
        distance = cdist(mixture.mean.numpy(), centres)
        alpha, _ = system.schedule.alpha_sigma(torch.tensor(float(t), dtype=torch.float64))
        pairs = np.array(
            [[angle(a[i], a[j]) for i, j in itertools.combinations(range(5), 2)] for a in v]
        )
        expected = {
            "weights": w,
            "router_probability": p,
            "cluster_distance": distance,
            "cluster_distance_pixels": distance,
            "cluster_distance_noised": cdist(x_t.numpy(), float(alpha) * centres),
            "selected_distance": (w * distance).sum(axis=1),
            "entropy": -(p * np.log(p)).sum(axis=1),
            "disagreement": pairs.mean(axis=1),
            "disagreement_max": pairs.max(axis=1),
            "disagreement_variance": (w * ((v - mix[:, None]) ** 2).mean(axis=2)).sum(axis=1),
            "expert_angle": np.array(
                [[angle(a, m) for a in row] for row, m in zip(v, mix, strict=True)]
            ),
        }
        for name, value in expected.items():
            np.testing.assert_allclose(here[name], value, rtol=1e-6, atol=1e-7, err_msg=name)
        nearest = (w > 0)[np.arange(len(w)), distance.argmin(axis=1)]
        assert here.nearest_selected.dtype == bool
        np.testing.assert_array_equal(here.nearest_selected, nearest)
        assert int(here.expert_calls) == 2 * len(x_t)


def angle(a: np.ndarray, b: np.ndarray) -> float:
    """arccos of the cosine; good to 1e-8 away from 0 and pi."""
    cosine = a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    return math.acos(min(1.0, max(-1.0, cosine)))


def test_heun_halves_steps_of_euler() -> None:
    """The loop hands the sampler on: 20 steps of Heun beat 40 of Euler, for the same calls."""
    system = ring(RingSettings(experts=3, spread=0.3))
    noise = Noise(tuple(range(16)), (2,), torch.float64)
    field = ensemble(system, "exact/full")

    def end(sampler: str, steps: int) -> Tensor:
        times = system.schedule.times(steps)
        walk = SAMPLERS.parse(sampler)
        with torch.no_grad():
            return list(rollout(field, walk, noise.initial(), times, noise))[-1].x_s

    exact = end("heun", 150)
    assert float((end("heun", 20) - exact).norm()) < 0.3 * float((end("euler", 40) - exact).norm())
