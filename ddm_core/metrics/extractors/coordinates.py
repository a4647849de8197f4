"""Points in the plane are their own features."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor

from ddm_core.errors import RequestError
from ddm_core.metrics.extractors.base import EXTRACTORS, FeatureSource

__all__ = ["Coordinates", "CoordinatesSource"]


@dataclass(frozen=True)
class Coordinates:
    """The identity on points [sample, axis], in float64."""

    dims: int = 2
    name: str = "coordinates"
    weights: str = hashlib.sha256(b"coordinates").hexdigest()
    resize: str = "points as they are"

    def __call__(self, images: Tensor) -> Tensor:
        if images.shape[1:] != (self.dims,):
            raise RequestError(
                f"coordinates are features of points [sample, {self.dims}], "
                f"not of samples {list(images.shape)}"
            )
        return images.double()


@EXTRACTORS.register
@dataclass(frozen=True)
class CoordinatesSource(FeatureSource):
    """The points of a two-dimensional system."""

    name: ClassVar[str] = "coordinates"

    def load(self, folder: Path | None, device: torch.device) -> Coordinates:
        return Coordinates()
