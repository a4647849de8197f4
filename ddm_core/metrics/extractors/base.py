"""What turns images (or points) into the features that a metric compares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddm_core.errors import RequestError, WorkError
from ddm_core.registry import Registry

__all__ = [
    "EXTRACTORS",
    "Array",
    "Extractor",
    "FeatureSource",
    "Progress",
    "extract_features",
    "never",
]

Array = NDArray[np.floating]

#: Called with how many samples are done and how many there are.
Progress = Callable[[int, int], None]


class Extractor(Protocol):
    """Features of a batch.

    Attributes:
        name: what references and protocols call it, such as "inception" or "mnist-convnet".
        dims: number of features.
        weights: sha256 of its weights; features of other weights do not compare.
        resize: what happens to an image before the network, in the words of a protocol.
    """

    @property
    def name(self) -> str: ...

    @property
    def dims(self) -> int: ...

    @property
    def weights(self) -> str: ...

    @property
    def resize(self) -> str: ...

    def __call__(self, images: Tensor) -> Tensor:
        """Images uint8 [sample, channel, height, width], or points -> [sample, feature]."""
        ...


@dataclass(frozen=True)
class FeatureSource(ABC):
    """A family member: its fields say where its weights are."""

    name: ClassVar[str]

    @abstractmethod
    def load(self, folder: Path | None, device: torch.device) -> Extractor:
        """The extractor, ready to run.

        Arguments:
            folder: of the system whose samples are measured, None where it has none.
            device: where its network runs.
        """


EXTRACTORS: Registry[FeatureSource] = Registry("extractor", "ddm_core.metrics.extractors")


def never() -> bool:
    """The `should_stop` of work that nobody cancels."""
    return False


def extract_features(
    extractor: Extractor,
    images: Tensor | NDArray[np.generic],
    *,
    batch: int = 250,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = never,
) -> Array:
    """Features [sample, feature] of many samples.

    Arguments:
        images: uint8 [sample, channel, height, width], or points [sample, axis].
        batch: samples per call of the extractor.
        progress: told after every batch.
        should_stop: asked before every batch.

    Raises:
        RequestError: there are no samples.
        WorkError: cancelled, or a feature is not finite.
    """
    images = torch.as_tensor(images)
    total = len(images)
    if total == 0:
        raise RequestError("there are no samples to measure")
    features: list[Tensor] = []
    for start in range(0, total, batch):
        if should_stop():
            raise WorkError(f"measuring was cancelled after {start} of {total} samples")
        with torch.no_grad():
            features.append(extractor(images[start : start + batch]).cpu())
        if progress is not None:
            progress(min(start + batch, total), total)
    found: Array = torch.cat(features).numpy()
    require_finite(found, extractor.name)
    return found


def require_finite(features: Array, name: str) -> None:
    """WorkError where a sample has a feature [sample, feature] that is no number."""
    bad = int((~np.isfinite(features)).any(axis=1).sum())
    if bad:
        raise WorkError(
            f"{bad} of {len(features)} samples have {name} features that are no number"
        )
