"""Definitions of stability, cost and routing that stand beside the usual ones, by closed forms."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import xarray as xr

import ddm_core as ddm
from ddm_core.analysis.parts import aligned
from ddm_core.angles import pairwise_angles
from ddm_core.denoise import GuidedDenoiser
from ddm_core.errors import RequestError
from ddm_core.flops import Flops, counted
from ddm_core.probes.base import PROBES
from ddm_core.routes import build_ensemble, parse_route
from ddm_core.strategies.base import STRATEGIES
from ddm_core.summary import summarize
from ddm_core.systems import load_system
from ddm_core.systems.analytic import RingSettings, ring
from ddm_core.testing.probes import Recorded, recorded

SPREAD = 0.25


def run(*probes: str, route: str = "exact/full", **changes: int) -> Recorded:
    system = ring(RingSettings(experts=5, spread=SPREAD))
    settings = {"steps": 6} | changes
    parsed = [PROBES.parse(name) for name in probes]
    return recorded(system, parsed, route=route, dtype=torch.float64, **settings)


def test_with_frozen_weights_only_the_experts_own_slope_is_left() -> None:
    """Every exact expert has the Jacobian (1 - gain) / t of one Gaussian, times the identity."""
    trace = run(
        "local_lipschitz_frozen:h=1e-4:directions=3", "local_lipschitz_frozen_max:h=1e-4"
    ).trace
    for index, t in enumerate(trace.t.values):
        alpha, variance = 1 - t, (1 - t) ** 2 * SPREAD**2 + t**2
        slope = abs((1 - alpha * SPREAD**2 / variance) / t)
        for name in ("local_lipschitz_frozen", "local_lipschitz_frozen_max"):
            np.testing.assert_allclose(trace[name][index], slope, rtol=1e-6)


def test_the_largest_slope_lies_between_the_mean_and_the_singular_value() -> None:
    trace = run(
        "local_lipschitz_difference:directions=60:h=1e-4",
        "local_lipschitz_difference_max:directions=60:h=1e-4",
        "local_lipschitz:iterations=40:first=40",
    ).trace
    mean, most = trace.local_lipschitz_difference, trace.local_lipschitz_difference_max
    assert bool((mean <= most).all())
    assert bool((most <= trace.local_lipschitz * 1.01).all())
    # Of sixty directions in the plane one lies close to the steepest.
    assert float((most / trace.local_lipschitz).mean()) > 0.97
    assert float((mean / most).mean()) < 0.95


@pytest.mark.parametrize("route", ["exact/full", "exact/top_k:k=1"])
def test_a_small_twin_needs_no_renormalising_and_a_large_one_does(route: str) -> None:
    small = run(
        "perturbation_growth:h=1e-6", "perturbation_growth_renormalised:h=1e-6", route=route
    ).trace
    plain = small.perturbation_growth.values
    smooth = plain < 1e3  # a twin that another expert got has jumped
    np.testing.assert_allclose(
        small.perturbation_growth_renormalised.values[smooth], plain[smooth], rtol=2e-3
    )
    large = run("perturbation_growth:h=1", "perturbation_growth_renormalised:h=1").trace
    apart = large.perturbation_growth / large.perturbation_growth_renormalised
    assert float(abs(np.log(apart[-1])).max()) > 0.1


def test_the_growth_rate_adds_up_to_the_exponent_of_a_gaussian() -> None:
    """K = 1: |dx_0| / |dx_T| is the spread, hence the exponent is its logarithm."""
    found = recorded(
        ring(RingSettings(experts=1, spread=0.3)),
        [PROBES.parse("growth_rate:h=1e-3"), PROBES.parse("perturbation_growth_renormalised")],
        route="top_k",
        sampler="heun",
        steps=200,
        dtype=torch.float64,
    ).trace
    length = -np.diff(np.append(found.t.values, 0.0))
    exponent = (found.growth_rate.values * length[:, None]).sum(axis=0)
    np.testing.assert_allclose(exponent, np.log(0.3), rtol=2e-3)
    summary = summarize(found, 1.0)
    assert summary["lyapunov_renormalised"].value == pytest.approx(np.log(0.3), rel=2e-3)
    assert summary["growth_renormalised"].value == pytest.approx(0.3, rel=2e-3)


def test_chosen_against_not_chosen_by_hand() -> None:
    weights = np.array([[[0.75, 0.25, 0.0], [0.0, 1.0, 0.0]]])
    distance = np.array([[[1.0, 3.0, 2.0], [1.0, 5.0, 2.0]]])
    found, share = aligned(weights, distance)
    assert found["chosen"].tolist() == [[1.5, 5.0]]
    assert found["not_chosen"].tolist() == [[2.0, 1.5]]
    assert found["hit"].tolist() == [[1.0, 0.0]]
    assert found["rank"].tolist() == [[1.0, 3.0]]
    np.testing.assert_allclose(share, [[2 / 3, 1 / 3]])
    everybody, _ = aligned(np.full((1, 1, 3), 1 / 3), distance[:, :1])
    assert np.isnan(everybody["not_chosen"]).all()


# Cost


def test_a_guided_expert_runs_twice_and_is_asked_once() -> None:
    system = load_system("digits")
    probes = "expert_calls,network_calls"
    for guidance, times in ((1.0, 1), (2.0, 2)):
        trace = ddm.sample(
            system,
            "top_k:k=2",
            seeds=range(3),
            steps=2,
            label=3,
            guidance=guidance,
            probes=probes,
        ).trace
        assert trace.expert_calls.values.tolist() == [6, 6]
        assert trace.network_calls.values.tolist() == [6 * times, 6 * times]
        found = summarize(trace, 1.0)
        assert found["network_calls"].value == 2 * times
        cost = system.flops.of_run(2 * 2 * times, 2, monolith=False)
        assert found["flops"].value == pytest.approx(cost)
    expert = system.experts[0]
    assert GuidedDenoiser(expert, 2.0).evaluations(conditional=False) == 1


def test_operations_of_a_product_by_hand() -> None:
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    assert counted(lambda: a @ b) == 2 * 3 * 4 * 5
    assert ring().flops == Flops(0, ring().flops.router, ring().flops.monolith)
    system = load_system("digits")
    assert system.flops.expert == system.flops.monolith > 10**6
    assert 0 < system.flops.router < system.flops.expert


# Routing


def test_an_expert_per_stretch_of_noise_levels() -> None:
    route = "interval:boundaries=0.8-0.6-0.4-0.2/full"
    even = run("weights", route="interval/full", steps=9).trace
    given = run("weights", route=route, steps=9).trace
    leader = even.weights.argmax("expert").values
    assert leader[:, 0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4]
    np.testing.assert_array_equal(leader, given.weights.argmax("expert").values)
    for wrong, sentence in (
        ("0.2-0.8-0.6-0.4", "must fall"),
        ("a-b", "no numbers"),
        ("0.5", "have 4 boundaries"),
    ):
        with pytest.raises(RequestError, match=sentence):
            run("weights", route=f"interval:boundaries={wrong}/full")


def test_the_oracle_is_the_posterior_or_draws_by_the_shares() -> None:
    exact, oracle = (run("weights", route=f"{name}/full") for name in ("exact", "oracle"))
    assert torch.equal(exact.samples, oracle.samples)
    system = dataclasses.replace(ring(), posterior=None)
    clusters = dataclasses.replace(
        system.clusters, proportions=torch.tensor([0.5, 0.3, 0.2, 0, 0, 0], dtype=torch.float64)
    )
    system = dataclasses.replace(system, clusters=clusters)
    seeds = tuple(range(400))
    trace = recorded(
        system, [PROBES.parse("weights")], route="oracle/sample_once", seeds=seeds, steps=3
    ).trace
    leader = trace.weights.argmax("expert").values
    assert (leader == leader[0]).all()
    shares = np.bincount(leader[0], minlength=6) / len(seeds)
    np.testing.assert_allclose(shares, clusters.proportions, atol=0.08)


def test_top_1_where_the_chosen_disagree() -> None:
    strategy = STRATEGIES.parse("disagreement_aware:k=2:angle=0.5")
    nan = float("nan")
    velocities = torch.tensor(
        [
            [[1.0, 0.0], [1.0, 0.1], [nan, nan]],
            [[1.0, 0.0], [0.0, 1.0], [nan, nan]],
        ]
    )
    weights = torch.tensor([[0.6, 0.4, 0.0], [0.4, 0.6, 0.0]])
    revised = strategy.revise(weights, velocities)
    assert revised.tolist() == [weights[0].tolist(), [0.0, 1.0, 0.0]]
    assert pairwise_angles(velocities[1:, :2]).item() == pytest.approx(np.pi / 2)


def test_who_always_agrees_is_top_k_and_who_never_does_is_top_1() -> None:
    probes = ("weights", "expert_calls")
    runs = {
        spec: run(*probes, route=f"exact:temperature=3/{spec}")
        for spec in ("top_k:k=2", "top_k:k=1", "disagreement_aware:k=2:angle=3.15")
    }
    runs["never"] = run(*probes, route="exact:temperature=3/disagreement_aware:k=2:angle=0")
    always = runs["disagreement_aware:k=2:angle=3.15"]
    torch.testing.assert_close(always.samples, runs["top_k:k=2"].samples)
    torch.testing.assert_close(runs["never"].samples, runs["top_k:k=1"].samples)
    # It asks two to learn whether they agree, whatever comes of it.
    assert (runs["never"].trace.expert_calls == runs["top_k:k=2"].trace.expert_calls).all()
    assert ((runs["never"].trace.weights > 0).sum("expert") == 1).all()


def test_its_field_can_be_derived() -> None:
    """No gradient flows through the number that stands for an expert that was not asked."""
    route = "exact:temperature=3/disagreement_aware:k=2:angle=0.7"
    trace = run("local_lipschitz:iterations=3", route=route).trace
    assert bool(np.isfinite(trace.local_lipschitz).all())
    system = ring()
    mixed = build_ensemble(system, parse_route(route)).mix(
        torch.randn(4, 2, dtype=torch.float64), torch.full((4,), 0.7, dtype=torch.float64)
    )
    assert mixed.experts is None


def test_the_interval_of_a_share_stays_between_none_and_all() -> None:
    hits = np.ones((10, 10), dtype=np.float32)
    hits[3, 4] = 0.0  # one step of one sample
    for values, low, high in ((hits, 0.97, 1.0), (1 - hits, 0.0, 0.03)):
        found = summarize(xr.Dataset({"nearest_selected": (("step", "sample"), values)}), 1.0)
        share = found["nearest_selected"]
        assert (share.low, share.high) == pytest.approx((low, high), abs=1e-3)
        assert 0 <= share.low < share.high <= 1
        assert share.method.endswith("cut to [0, 1]")


def test_growth_is_never_told_to_be_below_zero() -> None:
    growth = xr.DataArray([[1.0] * 4, [0.0, 0.0, 0.0, 9.0]], dims=("step", "sample"))
    names = ("perturbation_growth", "perturbation_growth_renormalised")
    found = summarize(xr.Dataset(dict.fromkeys(names, growth), {"t": ("step", [1.0, 0.5])}), 1.0)
    for name in ("perturbation_growth", "growth_renormalised"):
        assert (found[name].value, found[name].low) == (2.25, 0.0)
