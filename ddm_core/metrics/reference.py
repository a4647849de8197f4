"""Statistics of real data, kept in a file so that a distance to it needs no dataset.

`<folder>/<extractor>.safetensors` holds `mu`, `sigma` and a subset of the features; n, split,
extractor and the hash of its weights stand in the file's metadata.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from ddm_core.errors import RequestError, WorkError
from ddm_core.metrics.extractors.base import Array, Extractor, Progress, extract_features, never
from ddm_core.metrics.fidelity import Statistics, feature_statistics

__all__ = [
    "Reference",
    "load_reference",
    "reference_from_features",
    "reference_from_images",
    "save_reference",
]

T = TypeVar("T")
KEYS = ("mu", "sigma", "features")


@dataclass(frozen=True, eq=False)
class Reference:
    """What real data look like to one extractor.

    Arguments:
        extractor: its name.
        weights: sha256 of its weights.
        split: which data, such as "MNIST train".
        n: number of images behind `mu` and `sigma`.
        mu: mean [feature].
        sigma: covariance [feature, feature].
        features: of a subset of the images [kept, feature].
        exact: whether `mu` and `sigma` are those of the distribution itself, in closed form, and
            the features those of draws from it.
    """

    extractor: str
    weights: str
    split: str
    n: int
    mu: Array
    sigma: Array
    features: Array
    exact: bool = False
    _shared: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)

    @property
    def statistics(self) -> Statistics:
        """Mean and covariance, as a Frechet distance takes them."""
        return Statistics(self.mu, self.sigma)

    def once(self, key: str, compute: Callable[[], T]) -> T:
        """The result of `compute`, which everything that asks with the same key shares."""
        if key not in self._shared:
            self._shared[key] = compute()
        return cast(T, self._shared[key])

    @cached_property
    def content(self) -> str:
        """sha256 of the numbers."""
        digest = hashlib.sha256()
        for key in KEYS:
            digest.update(np.ascontiguousarray(getattr(self, key)).tobytes())
        return digest.hexdigest()


def reference_from_images(
    extractor: Extractor,
    images: Tensor | NDArray[np.generic],
    *,
    split: str,
    keep: int = 10_000,
    seed: int = 0,
    batch: int = 250,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = never,
) -> Reference:
    """The reference of a set of real images.

    Arguments:
        extractor: gives the features.
        images: uint8 [sample, channel, height, width], or points [sample, axis].
        split: which data these are, for the protocol.
        keep: how many features the file carries at most (kernel distance, precision, recall need
            them); chosen by `seed`, kept in the order of the images.

    Raises:
        RequestError: fewer than two images.
        WorkError: cancelled, or a feature is not finite.
    """
    if len(images) < 2:
        raise RequestError(f"a reference needs at least 2 images, not {len(images)}")
    features = extract_features(
        extractor, images, batch=batch, progress=progress, should_stop=should_stop
    )
    return reference_from_features(extractor, features, split=split, keep=keep, seed=seed)


def reference_from_features(
    extractor: Extractor,
    features: Array,
    *,
    split: str,
    keep: int = 10_000,
    seed: int = 0,
) -> Reference:
    """As `reference_from_images`, from features [sample, feature] that are there already."""
    n = len(features)
    kept = features
    if n > keep:
        kept = features[np.sort(np.random.default_rng(seed).choice(n, keep, replace=False))]
    mu, sigma = feature_statistics(features)
    return Reference(extractor.name, extractor.weights, split, n, mu, sigma, kept)


def save_reference(folder: str | Path, reference: Reference) -> Path:
    """Write `<folder>/<extractor>.safetensors`, whole or not at all; the path comes back.

    Raises:
        WorkError: the file cannot be written.
    """
    folder = Path(folder)
    path = folder / f"{reference.extractor}.safetensors"
    part = path.with_suffix(".part")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {key: np.ascontiguousarray(getattr(reference, key)) for key in KEYS},
            part,
            metadata={
                "extractor": reference.extractor,
                "weights": reference.weights,
                "split": reference.split,
                "n": str(reference.n),
            },
        )
        os.replace(part, path)
    except (OSError, SafetensorError) as error:
        raise WorkError(f"cannot write the reference statistics {path}: {error}") from error
    return path


def load_reference(path: str | Path) -> Reference:
    """Read what `save_reference` wrote.

    Raises:
        RequestError: the file is missing, damaged or something else.
    """
    path = Path(path)
    if not path.is_file():
        raise RequestError(f"there are no reference statistics {path}")
    try:
        with safe_open(path, framework="numpy") as file:
            about = file.metadata() or {}
            mu, sigma, features = (file.get_tensor(key) for key in KEYS)
        reference = Reference(
            about["extractor"],
            about["weights"],
            about["split"],
            int(about["n"]),
            mu,
            sigma,
            features,
        )
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise RequestError(f"{path} holds no reference statistics: {error}") from error
    dims = len(mu)
    if sigma.shape != (dims, dims) or features.ndim != 2 or features.shape[1] != dims:
        raise RequestError(
            f"{path} is damaged: its mean, covariance and features do not fit together"
        )
    return reference
