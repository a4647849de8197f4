"""The router that goes by the nearest cluster: whom it asks, and what its probabilities are."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal

from ddm_core.datasets import load_dataset
from ddm_core.ensemble import State
from ddm_core.probes.base import PROBES
from ddm_core.routers.base import ROUTERS
from ddm_core.systems import load_system
from ddm_core.systems.analytic import RingSettings, ring
from ddm_core.testing import network_system
from ddm_core.testing.probes import recorded
from ddm_core.training.clusters import find_clusters


def test_nearest_asks_for_the_closest_cluster() -> None:
    system = ring(RingSettings(experts=5))
    names = ("weights", "cluster_distance")
    trace = recorded(
        system, [PROBES.parse(n) for n in names], route="nearest/top_k:k=1", steps=8
    ).trace
    # It looks at the prediction of the step before; that is what was recorded there.
    before = trace.cluster_distance.argmin("expert").values[:-1]
    assert (trace.weights.argmax("expert").values[1:] == before).all()


def test_nearest_weighs_clusters_by_their_size() -> None:
    system = network_system()
    far = torch.zeros(1, *system.shape)
    state = State(far, torch.ones(1), far)
    plain = ROUTERS.parse("nearest:prior=no").bind(system)(state)
    weighed = ROUTERS.parse("nearest").bind(system)(state)
    torch.testing.assert_close(weighed - plain, system.clusters.proportions.log()[None])


def test_nearest_is_the_posterior_of_a_mixture_in_the_space_of_the_features() -> None:
    system = network_system()
    clusters = system.clusters
    assert clusters.feature_spread != clusters.spread
    x_0 = torch.randn(6, *system.shape, generator=torch.Generator().manual_seed(1))
    phi = clusters.features(x_0)
    cluster = Normal(clusters.feature_centroids, clusters.feature_spread)
    joint = cluster.log_prob(phi[:, None]).sum(dim=2) + clusters.proportions.log()
    logits = ROUTERS.parse("nearest").bind(system)(State(x_0, torch.ones(6), x_0))
    torch.testing.assert_close(logits.softmax(dim=1), joint.softmax(dim=1))


def test_the_spread_of_a_shipped_system_is_that_of_its_training_images() -> None:
    clusters = load_system("digits").clusters
    x_0 = load_dataset("digits").images / 127.5 - 1
    phi = clusters.features(x_0)
    own = torch.cdist(phi, clusters.feature_centroids).amin(dim=1)
    spread = (own.square().mean() / phi.shape[1]).sqrt()
    assert clusters.feature_spread == pytest.approx(float(spread), rel=1e-5)


def test_clusters_are_found_with_their_spread_in_the_space_of_the_features() -> None:
    images = load_dataset("digits").images[:200]
    found = find_clusters(images, 3, seed=0)
    phi = (images.flatten(1) / 127.5 - 1 - found["mean"]) @ found["components"].T
    away = phi - found["feature_centroids"][found["assignment"]]
    assert float(found["feature_spread"]) == pytest.approx(float(away.square().mean().sqrt()))
