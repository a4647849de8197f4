"""Held-out figures: how good each part is on images that no part was trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from ddm_core.analysis.calibration import fit_temperature
from ddm_core.nets import build
from ddm_core.routers.nearest import nearness
from ddm_core.schedules import Linear
from ddm_core.systems.base import Clusters, Features
from ddm_core.training.clusters import as_float
from ddm_core.training.loop import generator
from ddm_core.training.parts import part_path, uniform_times
from ddm_core.training.plan import Plan

__all__ = ["measure"]

_MOST = 5000
_BATCH = 250
_BINS = 10


@torch.no_grad()
def measure(plan: Plan, folder: Path) -> dict[str, Any]:
    """What the trained parts make of held-out images, every part on the same noise.

    Returns:
        images: how many; images_by_cluster [expert].
        expert_loss [expert][cluster]: mean squared error of v per dimension, without label.
        monolith_loss [cluster]; monolith_mean and own_expert_mean over all images.
        router_accuracy, router_accuracy_by_t (ten equal bins of t, from 0 to 1);
        router_temperature, nearest_temperature: of the largest likelihood of the clusters, which
        the setting temperature=fitted stands for.
        classifier_accuracy.
    """
    data = load_file(folder / "data.safetensors")
    clusters = load_file(folder / "assignment.safetensors")["test"][:_MOST]
    x_0 = as_float(data["test_images"][:_MOST])
    random = generator(plan.seed, "figures")
    t = uniform_times(len(x_0), random)
    eps = torch.randn(x_0.shape, generator=random)
    path = Linear()
    x_t, v = path.noised(x_0, eps, t), path.velocity(x_0, eps, t)
    counts = torch.bincount(clusters, minlength=plan.experts)
    found: dict[str, Any] = {"images": len(x_0), "images_by_cluster": counts.tolist()}

    def by_cluster(values: Tensor) -> Tensor:
        sums = torch.zeros(plan.experts).index_add_(0, clusters, values)
        return sums / counts  # nan where a cluster has no held-out image

    def said_by(part: str) -> Tensor:
        return _batched(_load(plan, folder, part), x_t, t)

    def error_of(velocity: Tensor) -> Tensor:
        return (velocity - v).square().flatten(1).mean(dim=1)

    rows: list[Tensor] = []
    mean = torch.zeros_like(v)
    for k in range(plan.experts):
        velocity = said_by(f"expert:{k}")
        rows.append(error_of(velocity))
        mean += velocity / plan.experts
    errors = torch.stack(rows)
    found["expert_loss"] = _rounded(torch.stack([by_cluster(row) for row in errors]))
    own = errors.gather(0, clusters[None])[0]
    found["own_expert_mean"] = _rounded(own.mean())
    if "monolith" in plan.parts:
        error = error_of(said_by("monolith"))
        found["monolith_loss"] = _rounded(by_cluster(error))
        found["monolith_mean"] = _rounded(error.mean())
    logits = said_by("router")
    right = (logits.argmax(dim=1) == clusters).float()
    bins = (t * _BINS).long().clamp(max=_BINS - 1)
    found["router_accuracy"] = _rounded(right.mean())
    found["router_accuracy_by_t"] = [_rounded(right[bins == b].mean()) for b in range(_BINS)]
    nearest = nearness(path.x_0(x_t, mean, t), _clusters(folder))
    for name, said in (("router", logits), ("nearest", nearest)):
        fitted = fit_temperature(said.numpy(), clusters.numpy())
        found[f"{name}_temperature"] = round(fitted, 5)
    if "features" in plan.parts:
        net = _load(plan, folder, "features")
        images = as_float(data["test_images"])
        guesses = torch.cat([net(part).argmax(dim=1) for part in images.split(_BATCH)])
        found["classifier_accuracy"] = _rounded((guesses == data["test_labels"]).float().mean())
    return found


def _clusters(folder: Path) -> Clusters:
    tensors = load_file(folder / "clusters.safetensors")
    sizes = tensors["sizes"]
    return Clusters(
        centroids=tensors["centroids"],
        proportions=sizes.float() / sizes.sum(),
        spread=float(tensors["spread"]),
        features=Features("pca", tensors["mean"], tensors["components"]),
        feature_centroids=tensors["feature_centroids"],
        feature_spread=float(tensors["feature_spread"]),
    )


def _load(plan: Plan, folder: Path, part: str) -> nn.Module:
    net = build(plan.parts[part].backbone, plan.parts[part].settings)
    net.load_state_dict(load_file(part_path(folder, part)))
    return net.eval()


def _batched(net: Callable[[Tensor, Tensor], Tensor], x_t: Tensor, t: Tensor) -> Tensor:
    pairs = zip(x_t.split(_BATCH), t.split(_BATCH), strict=True)
    return torch.cat([net(x, s) for x, s in pairs])


def _rounded(values: Tensor) -> Any:
    """Plain numbers with five digits, as system.toml holds them."""
    return torch.round(values.double(), decimals=5).tolist()
