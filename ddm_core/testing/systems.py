"""A small system of untrained networks: everything that a trained one has, in milliseconds."""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn

from ddm_core.denoise import Denoiser, NetworkDenoiser
from ddm_core.nets import RouterNet, UNet
from ddm_core.schedules import Schedule, schedule_named
from ddm_core.systems.base import Clusters, Features, System

__all__ = ["network_system"]

_SIDE = 8
_FEATURES = 5


@functools.cache
def network_system(experts: int = 4, schedule: str = "linear") -> System:
    """Random U-Nets on images [1, 8, 8] with three labels, a router network and a monolith.

    Arguments:
        experts: how many.
        schedule: name of the path.
    """
    random = torch.Generator().manual_seed(0)
    path = schedule_named(schedule)
    centroids = torch.randn(experts, 1, _SIDE, _SIDE, generator=random)
    components, _ = torch.linalg.qr(torch.randn(_SIDE**2, _FEATURES, generator=random))
    features = Features("pca", torch.zeros(_SIDE**2), components.T.contiguous())
    sizes = tuple(range(1, experts + 1))
    return System(
        name="network",
        description="untrained networks, for tests",
        shape=(1, _SIDE, _SIDE),
        schedule=path,
        experts=tuple(_unet(path, random) for _ in range(experts)),
        clusters=Clusters(
            centroids=centroids,
            proportions=torch.tensor(sizes) / sum(sizes),
            spread=1.0,
            features=features,
            feature_centroids=features(centroids),
            feature_spread=2.0,
            sizes=sizes,
        ),
        router=_randomised(
            RouterNet(channels=1, size=_SIDE, experts=experts, tokens=4, width=16, depth=1), random
        ),
        monolith=_unet(path, random),
        labels=("first", "second", "third"),
        digest=f"network-{experts}-{schedule}",
    )


def _unet(schedule: Schedule, random: torch.Generator) -> Denoiser:
    net = UNet(channels=1, widths=(8, 8), classes=3, heads=2)
    return NetworkDenoiser(_randomised(net, random), schedule)


def _randomised(net: nn.Module, random: torch.Generator) -> nn.Module:
    """Also where a fresh network holds zeros, which would make it blind to what it is given."""
    for parameter in net.parameters():
        if parameter.ndim > 1:
            drawn: Tensor = torch.randn(parameter.shape, generator=random)
            parameter.data = drawn / parameter[0].numel() ** 0.5
    return net.eval().requires_grad_(False)
