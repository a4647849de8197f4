"""Routes on noised real data: the quadratic form against ensembles that really ran."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from ddm_core.analysis.held_out import HeldOut, held_out
from ddm_core.analysis.routed import (
    chosen_against_not,
    excess,
    floors_of,
    matrix,
    route_weights,
    routed_loss,
)
from ddm_core.analysis.truth import Truth, measure_truth
from ddm_core.ensemble import Memory
from ddm_core.errors import RequestError
from ddm_core.noise import Noise
from ddm_core.routers.base import ROUTERS
from ddm_core.routes import build_ensemble, parse_route
from ddm_core.strategies.base import STRATEGIES
from ddm_core.systems import load_system
from ddm_core.systems.base import System

TIMES = (0.1, 0.5, 0.95)
COUNT = 24
Array = np.ndarray


@pytest.fixture(scope="module")
def system() -> System:
    """Digits with a fitted router: what is shipped leaves the fitting to the user."""
    shipped = load_system("digits")
    fitted = {**shipped.info["held_out"], "router_temperature": 1.2}
    return dataclasses.replace(shipped, info={**shipped.info, "held_out": fitted})


@pytest.fixture(scope="module")
def real(system: System) -> HeldOut:
    return held_out(system, COUNT)


@pytest.fixture(scope="module")
def truth(system: System, real: HeldOut) -> Truth:
    return measure_truth(system, real, TIMES, device="cpu")


def by_running(system: System, real: HeldOut, route: str) -> tuple[Array, Array]:
    """Weights and loss of an ensemble that walks from noise to data, remembering what it must."""
    ensemble = build_ensemble(system, parse_route(route))
    noise = Noise(tuple(range(COUNT)), system.shape)
    eps, memory = noise.initial(), Memory()
    weights: list[Array] = []
    loss: list[Array] = []
    for step, t in enumerate(reversed(TIMES)):
        ts = torch.full((COUNT,), t)
        x_t = system.schedule.noised(real.x_0, eps, ts)
        draw = noise.uniform(step) if ensemble.route.draws else None
        with torch.no_grad():
            mixture = ensemble.mix(x_t, ts, memory=memory, draw=draw)
        memory = mixture.memory
        weights.append(mixture.weights.numpy())
        error = mixture.velocity - (eps - real.x_0)
        loss.append(error.square().flatten(1).mean(dim=1).numpy())
    return np.stack(weights[::-1]), np.stack(loss[::-1])


@pytest.mark.parametrize(
    "route",
    [
        *("top_k:k=1", "top_k:k=2", "full", "uniform/full", "learned:temperature=4/full", "wrong"),
        *("nucleus:p=0.8", "threshold:tau=0.2", "fixed/full", "learned:temperature=0.2/full"),
        *("sticky:k=2:margin=0.3", "sample", "sample_once", "learned:temperature=fitted/full"),
    ],
)
def test_a_route_loses_what_its_ensemble_loses(
    system: System, real: HeldOut, truth: Truth, route: str
) -> None:
    weights, loss = by_running(system, real, route)
    w = route_weights(truth, route, system)
    np.testing.assert_allclose(w, weights, atol=1e-4)
    np.testing.assert_allclose(routed_loss(truth, w), loss, rtol=2e-3, atol=1e-5)


def test_nearest_sees_the_mean_of_all_experts(system: System, real: HeldOut, truth: Truth) -> None:
    """At the first step that is what sampling does; later it has its own prediction."""
    weights, loss = by_running(system, real, "nearest/top_k:k=2")
    w = route_weights(truth, "nearest/top_k:k=2", system)
    np.testing.assert_allclose(w[-1], weights[-1], atol=1e-4)
    np.testing.assert_allclose(routed_loss(truth, w)[-1], loss[-1], rtol=2e-3)


def test_memory_runs_from_noise_to_data(system: System, truth: Truth) -> None:
    w = route_weights(truth, "sample_once", system)
    assert bool((w == w[-1]).all())
    assert bool((route_weights(truth, "sample", system)[-1] == w[-1]).all())


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if not STRATEGIES[name].looks])
@pytest.mark.parametrize("router", sorted(set(ROUTERS) - {"exact"}))
def test_weights_of_every_route_lie_on_the_simplex(
    system: System, truth: Truth, router: str, strategy: str
) -> None:
    w = route_weights(truth, f"{router}/{strategy}", system)
    assert w.shape == (3, COUNT, 8)
    assert bool((w >= 0).all())
    np.testing.assert_allclose(w.sum(axis=2), 1, atol=1e-9)
    split = excess(truth, w, floors_of(truth))
    assert split.over_best.min() > -1e-6
    assert split.loss.shape == (3, COUNT)


@pytest.mark.parametrize(
    ("route", "told"),
    [
        ("monolith", "a monolith has no weights"),
        ("exact/full", "what router 'exact' says was not recorded; there are: fixed, interval"),
        ("disagreement_aware", "'disagreement_aware' decides by what experts say"),
        ("fixed:expert=3/full", "what router 'fixed:expert=3' says was not recorded"),
        ("nearest:prior=false/full", "what router 'nearest:prior=False' says was not recorded"),
        ("neerest/full", "no router 'neerest'"),
    ],
)
def test_what_cannot_be_told_is_said(system: System, truth: Truth, route: str, told: str) -> None:
    with pytest.raises(RequestError, match=told):
        route_weights(truth, route, system)


def small() -> Truth:
    """Two noise levels, three items, three experts; the third cluster has no item."""
    random = np.random.default_rng(0)
    errors = random.standard_normal((2, 3, 3, 10))
    empty = np.zeros((2, 3, 3), dtype=np.float32)
    return Truth(
        np.array([0.2, 0.8]),
        np.array([0, 1, 1]),
        np.einsum("tsid,tsjd->tsij", errors, errors).astype(np.float32) / 10,
        None,
        {},
        np.tile(np.eye(3, dtype=np.float32)[[0, 1, 1]], (2, 1, 1)),
        empty,
        empty,
        empty[..., 0],
        empty[..., 0],
        np.zeros((2, 2), dtype=np.float32),
        "made up",
    )


def test_the_matrix_by_hand() -> None:
    truth = small()
    table, counts = matrix(truth)
    assert counts.tolist() == [1, 2, 0]
    for k in range(3):
        np.testing.assert_allclose(table[:, k, 0], truth.gram[:, 0, k, k], rtol=1e-6)
        pair = truth.gram[:, 1:, k, k].mean(axis=1)
        np.testing.assert_allclose(table[:, k, 1], pair, rtol=1e-6)
    assert bool(np.isnan(table[:, :, 2]).all())


def test_chosen_and_others_by_hand() -> None:
    truth = small()
    own = np.einsum("tskk->tsk", truth.gram)
    w = np.tile(np.array([[0.25, 0.75, 0.0], [0.0, 0.0, 1.0], [0.2, 0.3, 0.5]]), (2, 1, 1))
    chosen, others = chosen_against_not(truth, w)
    for t in range(2):
        assert chosen[t, 0] == pytest.approx(0.25 * own[t, 0, 0] + 0.75 * own[t, 0, 1])
        assert others[t, 0] == pytest.approx(own[t, 0, 2])
        assert chosen[t, 1] == pytest.approx(own[t, 1, 2])
        assert others[t, 1] == pytest.approx((own[t, 1, 0] + own[t, 1, 1]) / 2)
    assert bool(np.isnan(others[:, 2]).all())


def test_who_knows_the_cluster_loses_what_its_expert_loses() -> None:
    truth = small()
    floors = floors_of(truth)
    own = np.take_along_axis(
        np.einsum("tskk->tsk", truth.gram), truth.clusters[None, :, None], axis=2
    )[:, :, 0]
    np.testing.assert_allclose(floors.oracle, own, rtol=1e-6)
    assert bool((floors.best <= own + 1e-9).all())
    split = excess(truth, truth.oracle.astype(float), floors)
    np.testing.assert_allclose(split.over_oracle, 0, atol=1e-12)
    np.testing.assert_allclose(split.loss - split.over_best, floors.best, atol=1e-12)


def test_a_broken_expert_harms_only_those_who_asked_it() -> None:
    truth = small()
    gram = truth.gram.copy()
    gram[:, :, 2, :] = gram[:, :, :, 2] = np.nan
    broken = truth._replace(gram=gram)
    w = np.tile(np.array([[0.5, 0.5, 0.0], [0.0, 0.5, 0.5], [1.0, 0.0, 0.0]]), (2, 1, 1))
    lost, sound = routed_loss(broken, w), routed_loss(truth, w)
    np.testing.assert_array_equal(lost[:, [0, 2]], sound[:, [0, 2]])
    assert bool(np.isnan(lost[:, 1]).all())
    chosen, _ = chosen_against_not(broken, w)
    assert np.isfinite(chosen).tolist() == [[True, False, True]] * 2
