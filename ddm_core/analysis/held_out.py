"""Real data that no expert was trained on, each item with the cluster that it belongs to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ddm_core.datasets import ImageSet, load_dataset
from ddm_core.errors import RequestError
from ddm_core.probes.distance import feature_distance
from ddm_core.systems.analytic import GaussianPosterior
from ddm_core.systems.base import System

__all__ = ["HeldOut", "held_out"]

_BUILT_IN = ("digits", "mnist")


class HeldOut(NamedTuple):
    """Data and truth.

    Arguments:
        x_0: [sample, *], images in [-1, 1], or points.
        clusters: int64 [sample]; of images: the nearest centroid in the clustering features, which
            is how the training data were divided; of points: the part that they were drawn from.
        source: which data these are, in a phrase.
    """

    x_0: Tensor
    clusters: Tensor
    source: str


def held_out(system: System, count: int, *, data: Path | None = None, seed: int = 0) -> HeldOut:
    """At most `count` items that no expert has seen; which ones, the seed decides.

    Arguments:
        count: at least 1; fewer come where the dataset has fewer.
        data: folder of MNIST's files, or the folder or .zip of images that the system was trained
            on; default: what lies in $DDM_DATA, else in `data`.

    Raises:
        RequestError: nothing was asked for, the system does not say what it was trained on, or the
            files are missing or others; one sentence.
    """
    if count < 1:
        raise RequestError(f"{count} held-out items are too few: take at least 1")
    if isinstance(system.posterior, GaussianPosterior):
        return _mixture(system.posterior, count, seed)
    real = _test_images(system, data)
    order = np.random.default_rng([seed, 1]).permutation(len(real.images))[:count]
    some = torch.from_numpy(np.sort(order))
    x_0 = real.images[some].to(torch.float32) / 127.5 - 1
    clusters = system.clusters
    home = clusters.feature_centroids
    nearest = feature_distance(x_0.to(home.device, home.dtype), clusters).argmin(dim=1).cpu()
    of = f"{len(some):,} of {len(real.images):,}" if len(some) < len(real.images) else "all"
    return HeldOut(x_0, nearest, f"{of} test images of {real.name}")


def _mixture(posterior: GaussianPosterior, count: int, seed: int) -> HeldOut:
    """Exact draws in double precision, with the part that each was drawn from."""
    random = np.random.default_rng([seed, 1])
    centres = posterior.centres.double().cpu()
    clusters = torch.from_numpy(random.integers(len(centres), size=count))
    away = torch.from_numpy(random.standard_normal((count, 2))) * posterior.spread
    return HeldOut(centres[clusters] + away, clusters, f"{count:,} exact draws from the mixture")


def _test_images(system: System, data: Path | None) -> ImageSet:
    said = system.info.get("training")
    training = said if isinstance(said, dict) else {}
    dataset = str(training.get("dataset", ""))
    if not dataset or not system.is_image:
        raise RequestError(
            f"system '{system.name}' does not say which data it was trained on: its system.toml "
            "has no training.dataset"
        )
    home = Path(os.environ.get("DDM_DATA") or "data")
    name = dataset if dataset in _BUILT_IN else _place(dataset, data, home)
    channels, size, _ = system.shape
    try:
        # An audit fetches nothing from anywhere: it says what it lacks.
        real = load_dataset(
            name, split="test", folder=data or home, size=size, grey=channels == 1, download=False
        )
    except RequestError as error:
        raise RequestError(
            f"the held-out images of '{dataset}' are missing ({error}): name their folder with "
            "--data or in DDM_DATA"
        ) from None
    if tuple(real.images.shape[1:]) != system.shape:
        raise RequestError(
            f"the images of '{dataset}' are {list(real.images.shape[1:])}, "
            f"those of system '{system.name}' are {list(system.shape)}"
        )
    if dataset not in _BUILT_IN:
        _require_same(real, training, dataset)
    return real


def _place(dataset: str, data: Path | None, home: Path) -> str:
    """Where a folder of images is, of which the system keeps the name alone."""
    beside = (home / dataset, home / f"{dataset}.zip")
    there = data or next((path for path in beside if path.exists()), None)
    if there is None:
        raise RequestError(
            f"the held-out images of '{dataset}' are missing: name the folder or .zip that "
            "was trained on with --data"
        )
    return str(there)


def _require_same(real: ImageSet, training: dict[str, object], dataset: str) -> None:
    """Refuse a folder that grew or shrank: its split is another one, and shows trained images."""
    trained, left = training.get("images"), len(real.images)
    # A tenth is held out, and at least one.
    if isinstance(trained, int) and left != max(1, int((trained + left) * 0.1)):
        raise RequestError(
            f"'{dataset}' holds other images than those that were trained on: {trained} were "
            f"trained on, and {left} are held out now"
        )
