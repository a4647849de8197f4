"""Real data that no expert was trained on, each with the cluster that it belongs to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddm_core.datasets import load_dataset
from ddm_core.errors import RequestError
from ddm_core.systems.analytic import GaussianPosterior
from ddm_core.systems.base import System

__all__ = ["HeldOut", "held_out"]


class HeldOut(NamedTuple):
    """Data and truth.

    Arguments:
        x_0: [sample, *], images in [-1, 1], or points.
        clusters: int64 [sample]; of images: the nearest centroid in the clustering features, which
            is how the training data were divided.
        source: which data these are, in a phrase.
    """

    x_0: Tensor
    clusters: Tensor
    source: str


def held_out(system: System, count: int, *, data: Path | None = None, seed: int = 0) -> HeldOut:
    """At most `count` items that no expert has seen; which ones, the seed decides.

    Arguments:
        data: folder with the dataset's files; default $DDM_DATA, else `data`.

    Raises:
        RequestError: the system does not say what it was trained on, or the files are missing.
    """
    if isinstance(system.posterior, GaussianPosterior):
        return _mixture(system.posterior, count, seed)
    training = system.info.get("training", {})
    dataset = training.get("dataset")
    if not dataset:
        raise RequestError(f"system '{system.name}' does not say which data it was trained on")
    folder = data or (Path(os.environ["DDM_DATA"]) if "DDM_DATA" in os.environ else None)
    channels, size, _ = system.shape
    real = load_dataset(dataset, split="test", folder=folder, size=size, grey=channels == 1)
    if tuple(real.images.shape[1:]) != system.shape:
        raise RequestError(
            f"the images of '{dataset}' are {list(real.images.shape[1:])}, "
            f"those of system '{system.name}' {list(system.shape)}"
        )
    order = torch.from_numpy(np.random.default_rng(seed).permutation(len(real.images)))
    some = order[:count].sort().values
    x_0 = real.images[some].to(torch.float32) / 127.5 - 1
    phi = system.clusters.features(x_0)
    clusters = torch.cdist(phi, system.clusters.feature_centroids).argmin(dim=1)
    return HeldOut(x_0, clusters, f"{len(some)} of {len(order)} {real.name} test images")


def _mixture(posterior: GaussianPosterior, count: int, seed: int) -> HeldOut:
    random = np.random.default_rng([seed, 7])
    centres = posterior.centres.double().cpu()
    clusters = torch.from_numpy(random.integers(len(centres), size=count))
    away = torch.from_numpy(random.standard_normal((count, 2))) * posterior.spread
    return HeldOut(centres[clusters] + away, clusters, f"{count} exact draws from the mixture")
