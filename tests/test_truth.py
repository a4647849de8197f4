"""The pass over noised real data: ring against closed forms, digits against the parts."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ddm_core.analysis.held_out import HeldOut, held_out
from ddm_core.analysis.routed import excess, floors_of, matrix, route_weights, routed_loss
from ddm_core.analysis.truth import Truth, load_truth, measure_truth, save_truth
from ddm_core.errors import RequestError
from ddm_core.noise import Noise
from ddm_core.run import Cancelled
from ddm_core.schedules import Linear
from ddm_core.systems import load_system
from ddm_core.systems.analytic import RingSettings, ring
from ddm_core.systems.base import System

TIMES = (0.05, 0.3, 0.6, 0.9)
Array = np.ndarray


class Noised:
    """The ring's held-out draws, noised by hand in numpy; linear path, alpha + sigma = 1."""

    def __init__(self, settings: RingSettings, count: int, seed: int) -> None:
        self.system = ring(settings)
        self.real = held_out(self.system, count, seed=seed)
        self.x_0 = self.real.x_0.numpy()
        self.eps = Noise(tuple(range(seed, seed + count)), (2,), torch.float64).initial().numpy()
        self.centres = self.system.clusters.centroids.numpy()
        self.s2 = settings.spread**2
        self.truth = measure_truth(self.system, self.real, TIMES, seed=seed, device="cpu")

    def state(self, t: float) -> Array:
        return (1 - t) * self.x_0 + t * self.eps

    def gain(self, t: float) -> float:
        return (1 - t) * self.s2 / ((1 - t) ** 2 * self.s2 + t**2)

    def hats(self, t: float) -> Array:
        """E[x_0 | x_t, k] of every expert [sample, expert, 2]."""
        away = self.state(t)[:, None] - (1 - t) * self.centres
        return self.centres + self.gain(t) * away

    def posterior(self, t: float) -> Array:
        """p(k | x_t) by Bayes' rule [sample, expert]."""
        variance = (1 - t) ** 2 * self.s2 + t**2
        away = self.state(t)[:, None] - (1 - t) * self.centres
        density = np.exp(-(away**2).sum(axis=2) / (2 * variance)) / (2 * math.pi * variance)
        return density / density.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def noised() -> Noised:
    return Noised(RingSettings(experts=5, spread=0.25), 3000, seed=11)


@pytest.fixture(scope="module")
def digits() -> System:
    return load_system("digits")


@pytest.fixture(scope="module")
def digits_truth(digits: System) -> Truth:
    return measure_truth(digits, held_out(digits, 40), (0.2, 0.7), device="cpu")


def test_errors_of_the_experts_in_closed_form(noised: Noised) -> None:
    """v_k - (eps - x_0) = (x_0 - E[x_0 | x_t, k]) / t, and G is the Gram matrix of these."""
    for index, t in enumerate(TIMES):
        error = (noised.x_0[:, None] - noised.hats(t)) / t
        gram = error @ error.transpose(0, 2, 1) / 2
        scale = np.abs(gram).max(axis=(1, 2), keepdims=True)
        assert np.abs(noised.truth.gram[index] / scale - gram / scale).max() < 1e-6


def test_mean_error_of_every_expert_on_every_cluster(noised: Noised) -> None:
    """E|e_k|^2 / 2 on cluster j = ((1 - g a)^2 (|mu_k - mu_j|^2 / 2 + s^2) + g^2 t^2) / t^2."""
    table, counts = matrix(noised.truth)
    assert counts.sum() == 3000
    own = np.einsum("tskk->tsk", noised.truth.gram)
    for index, t in enumerate(TIMES):
        g, alpha = noised.gain(t), 1 - t
        for k, j in itertools.product(range(5), repeat=2):
            apart = ((noised.centres[k] - noised.centres[j]) ** 2).sum()
            expected = (1 - g * alpha) ** 2 * (apart / 2 + noised.s2) + g**2 * t**2
            seen = own[index, noised.truth.clusters == j, k]
            error = seen.std(ddof=1) / math.sqrt(counts[j])
            # 100 comparisons at 5 standard errors: chance alone fails one in 17,000.
            assert table[index, k, j] == pytest.approx(expected / t**2, abs=5 * float(error))


def test_weights_of_who_knows_are_the_posterior(noised: Noised) -> None:
    for index, t in enumerate(TIMES):
        p = noised.posterior(t)
        np.testing.assert_allclose(noised.truth.oracle[index], p, atol=1e-6)
        logits = noised.truth.logits["exact"][index].astype(float)
        assert np.abs(logits.max(axis=1)).max() == 0.0
        q = np.exp(logits)
        np.testing.assert_allclose(q / q.sum(axis=1, keepdims=True), p, atol=1e-5)


def test_distances_in_closed_form(noised: Noised) -> None:
    for index, t in enumerate(TIMES):
        away = noised.state(t)[:, None] - (1 - t) * noised.centres
        far = np.linalg.norm(away, axis=2)
        np.testing.assert_allclose(noised.truth.distance_noised[index], far, atol=1e-5)
        mean = (noised.posterior(t)[:, :, None] * noised.hats(t)).sum(axis=1)
        near = np.linalg.norm(mean[:, None] - noised.centres, axis=2)
        np.testing.assert_allclose(noised.truth.distance[index], near, atol=1e-5)
        spread = noised.hats(t).std(axis=1).mean(axis=0)
        np.testing.assert_allclose(noised.truth.spread[index], spread, rtol=1e-5)


def test_the_exact_full_ensemble_is_the_monolith_and_loses_nothing(noised: Noised) -> None:
    truth = noised.truth
    assert truth.monolith is not None
    floors = floors_of(truth)
    split = excess(truth, route_weights(truth, "exact/full", noised.system), floors)
    np.testing.assert_allclose(split.loss, truth.monolith, rtol=1e-4, atol=1e-5)
    assert np.abs(split.over_oracle).max() < 1e-4 * split.loss.max()
    for route in ("top_k:k=1", "top_k:k=2", "exact:temperature=4/full", "uniform/full", "wrong"):
        other = excess(truth, route_weights(truth, route, noised.system), floors)
        assert other.over_best.min() > -1e-6
        # No other weights of the state do better on average: the posterior mean is the best.
        gain = other.loss.mean(axis=0) - split.loss.mean(axis=0)
        assert gain.mean() > -3 * gain.std() / math.sqrt(len(gain))


def test_disagreement_is_what_mixing_gains(noised: Noised) -> None:
    """sum_k w_k |e_k|^2 - |sum_k w_k e_k|^2 = sum_k w_k |v_k - v|^2 (Krogh and Vedelsby)."""
    truth = noised.truth
    w = route_weights(truth, "exact/top_k:k=3", noised.system)
    own = np.einsum("tskk->tsk", truth.gram.astype(float))
    gained = (w * own).sum(axis=2) - routed_loss(truth, w)
    for index, t in enumerate(TIMES):
        v = (noised.state(t)[:, None] - noised.hats(t)) / t
        mean = (w[index][:, :, None] * v).sum(axis=1, keepdims=True)
        spread = (w[index] * ((v - mean) ** 2).sum(axis=2)).sum(axis=1) / 2
        np.testing.assert_allclose(gained[index], spread, atol=2e-6 * own[index].max())


@pytest.mark.parametrize("schedule", ["cosine", "vp"])
def test_on_other_paths_too_the_full_ensemble_is_the_monolith(schedule: str) -> None:
    system = ring(RingSettings(schedule=schedule))
    truth = measure_truth(system, held_out(system, 100), TIMES, device="cpu")
    assert truth.monolith is not None
    loss = routed_loss(truth, truth.oracle.astype(float))
    np.testing.assert_allclose(loss, truth.monolith, rtol=1e-3, atol=1e-4)


def test_an_item_is_measured_alone(digits: System, digits_truth: Truth) -> None:
    """Whatever the batch: some items of the pass, in a pass of their own."""
    real = held_out(digits, 40)
    few = HeldOut(real.x_0[33:37], real.clusters[33:37], "few")
    alone = measure_truth(digits, few, (0.7,), seed=33, device="cpu")
    np.testing.assert_allclose(alone.gram[0], digits_truth.gram[1, 33:37], rtol=1e-4, atol=1e-6)
    for name, logits in alone.logits.items():
        np.testing.assert_allclose(logits[0], digits_truth.logits[name][1, 33:37], atol=1e-3)


def test_real_images_against_the_parts(digits: System, digits_truth: Truth) -> None:
    """Every number of the pass from the networks themselves, one after the other."""
    real, path, t = held_out(digits, 40), Linear(), 0.7
    eps = Noise(tuple(range(40)), digits.shape).initial()
    ts = torch.full((40,), t)
    x_t, target = path.noised(real.x_0, eps, ts), eps - real.x_0
    assert digits.monolith is not None
    assert digits.router is not None
    with torch.no_grad():
        v = [expert(x_t, ts) for expert in digits.experts]
        whole, logits = digits.monolith(x_t, ts), digits.router(x_t, ts)

    def loss(one: Tensor) -> Array:
        return (one - target).square().flatten(1).mean(dim=1).numpy()

    truth = digits_truth
    for k in range(8):
        np.testing.assert_allclose(truth.gram[1, :, k, k], loss(v[k]), rtol=1e-4)
    cross = ((v[2] - target) * (v[5] - target)).flatten(1).mean(dim=1).numpy()
    np.testing.assert_allclose(truth.gram[1, :, 2, 5], cross, rtol=1e-3, atol=1e-5)
    assert truth.monolith is not None
    np.testing.assert_allclose(truth.monolith[1], loss(whole), rtol=1e-4)
    top = logits - logits.amax(dim=1, keepdim=True)
    np.testing.assert_allclose(truth.logits["learned"][1], top.numpy(), atol=1e-4)
    expected = {"fixed", "interval", "learned", "nearest", "oracle", "uniform"}
    assert set(truth.logits) == expected
    np.testing.assert_array_equal(truth.oracle, np.tile(np.eye(8)[truth.clusters], (2, 1, 1)))
    hats = torch.stack([x_t - t * one for one in v], dim=1)
    spread = hats.std(dim=1, correction=0).mean(dim=0).numpy()
    np.testing.assert_allclose(truth.spread[1], spread, rtol=1e-3, atol=1e-5)
    assert truth.spread.shape == (2, 1, 8, 8)
    known = hats[torch.arange(40), real.clusters]
    phi = digits.clusters.features(known)
    far = (phi[:, None] - digits.clusters.feature_centroids).norm(dim=2)
    np.testing.assert_allclose(truth.distance[1], far.numpy(), rtol=1e-3)
    assert {a.dtype for a in (truth.gram, truth.oracle, truth.spread)} == {np.dtype(np.float32)}


def test_progress_is_told_and_a_stop_is_heard(digits: System) -> None:
    told: list[tuple[int, int]] = []
    real = held_out(digits, 70)

    def note(done: int, total: int) -> None:
        told.append((done, total))

    measure_truth(digits, real, (0.3, 0.6), device="cpu", on_progress=note)
    assert told == sorted(told)
    assert told[-1] == (140, 140)
    with pytest.raises(Cancelled):
        measure_truth(digits, real, (0.3,), device="cpu", should_stop=lambda: True)

    def refuse(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_truth(digits, real, (0.3,), device="cpu", on_progress=refuse)


@pytest.mark.parametrize("times", [(), (0.0, 0.5), (0.5, 1.0)])
def test_noise_levels_lie_inside(times: tuple[float, ...]) -> None:
    with pytest.raises(RequestError, match="above 0 and below 1"):
        measure_truth(ring(), held_out(ring(), 4), times)


def test_a_pass_is_read_back_as_it_was(
    noised: Noised, digits_truth: Truth, tmp_path: Path
) -> None:
    for truth in (noised.truth, digits_truth, digits_truth._replace(monolith=None)):
        save_truth(tmp_path / "truth.npz", truth)
        read = load_truth(tmp_path / "truth.npz")
        assert read.source == truth.source
        assert (read.monolith is None) == (truth.monolith is None)
        assert set(read.logits) == set(truth.logits)
        for name in ("times", "clusters", "gram", "oracle", "distance_noised", "spread"):
            np.testing.assert_array_equal(getattr(read, name), getattr(truth, name))
        np.testing.assert_array_equal(read.logits["nearest"], truth.logits["nearest"])


def test_a_damaged_pass_is_told_in_a_sentence(digits_truth: Truth, tmp_path: Path) -> None:
    path = tmp_path / "truth.npz"
    save_truth(path, digits_truth)
    raw = path.read_bytes()
    broken = bytearray(raw)
    broken[len(raw) // 2] ^= 0xFF
    for damage in (raw[: len(raw) // 2], raw[:10], b"", b"junk" * 50, bytes(broken)):
        path.write_bytes(damage)
        with pytest.raises(RequestError, match="is no pass over real data"):
            load_truth(path)
    for wrong in (
        digits_truth._replace(oracle=digits_truth.oracle[:, :-1]),
        digits_truth._replace(clusters=digits_truth.clusters + 8),
        digits_truth._replace(times=digits_truth.times[:1]),
    ):
        save_truth(path, wrong)
        with pytest.raises(RequestError, match="not of one pass"):
            load_truth(path)
    path.unlink()
    with pytest.raises(RequestError, match="is no pass over real data"):
        load_truth(path)
