"""The extractor that comes with a system, run by torch-fidelity."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn

from ddm_core.errors import RequestError
from ddm_core.metrics.extractors.base import EXTRACTORS, FeatureSource
from ddm_core.metrics.extractors.weights import load_own
from ddm_core.metrics.fidelity.lean import import_torchvision

__all__ = ["FidelityExtractor", "OwnSource"]


@dataclass(frozen=True, eq=False)
class FidelityExtractor:
    """A feature extractor of torch-fidelity, and what a protocol says about it.

    Arguments:
        module: uint8 [sample, 3, height, width] -> ([sample, feature],).
        device: where it runs.
        name: as in `Extractor`, like the others.
    """

    module: nn.Module
    device: torch.device
    name: str
    dims: int
    weights: str
    resize: str

    def __call__(self, images: Tensor) -> Tensor:
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
            raise RequestError(
                f"'{self.name}' needs images uint8 [sample, 1 or 3, height, width], "
                f"not {str(images.dtype).removeprefix('torch.')} {list(images.shape)}"
            )
        return self.module(images.to(self.device).expand(-1, 3, -1, -1))[0]


@EXTRACTORS.register
@dataclass(frozen=True)
class OwnSource(FeatureSource):
    """The small network or linear map that was made with the system."""

    name: ClassVar[str] = "own"

    def load(self, folder: Path | None, device: torch.device) -> FidelityExtractor:
        if folder is None:
            raise RequestError("this system has no folder, and so no feature extractor of its own")
        own = load_own(folder)
        # Late: the library takes a second to import.
        import_torchvision()
        from torch_fidelity.utils import create_feature_extractor

        from ddm_core.metrics.fidelity.network import LAYER, register_network

        register_network(own.name)
        module = create_feature_extractor(
            own.name,
            [LAYER],
            cuda=False,
            verbose=False,
            feature_extractor_weights_path=own.path,
        )
        return FidelityExtractor(
            module.to(device),
            device,
            own.name,
            own.dims,
            own.digest,
            f"images at {own.size} x {own.size} pixels (others resized, bilinear, antialiased)",
        )
