"""Made-up features, pictures and systems that metrics are tried on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tomli_w
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.utils.data import Dataset

from ddm_core.metrics import Reference, reference_from_features
from ddm_core.nets import ConvClassifier

Array = NDArray[np.floating[Any]]


class Points(NamedTuple):
    """An extractor of made-up features."""

    dims: int
    name: str = "made-up"
    weights: str = "0" * 64
    resize: str = "as they are"

    def __call__(self, images: Tensor) -> Tensor:
        return images


class Rows(Dataset[Tensor]):
    """What torch-fidelity takes: one uint8 [3, height, width] per item."""

    def __init__(self, images: Tensor) -> None:
        self.images = images.expand(-1, 3, -1, -1)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


def real(features: Array, split: str = "made up") -> Reference:
    return reference_from_features(Points(features.shape[1]), features, split=split)


def normal(n: int, dims: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((n, dims))


def pictures(n: int, seed: int, channels: int = 1, size: int = 12) -> Tensor:
    """Smooth random images, a little brighter for greater seeds."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, channels, 4, 4, generator=random) * 200 + 10 * seed
    fine = nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return fine.clamp(0, 255).to(torch.uint8)


def write_system(folder: Path, tensors: dict[str, Tensor], file: str, **about: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / file)
    digest = hashlib.sha256((folder / file).read_bytes()).hexdigest()
    (folder / "system.toml").write_text(tomli_w.dumps({**about, "files": {file: digest}}))
    return folder


def write_labelled(folder: Path) -> Path:
    """A system with a small network of its own."""
    settings = {"channels": 1, "size": 12, "classes": 10, "width": 8, "features": 16}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = ConvClassifier(**settings)
    return write_system(
        folder,
        net.state_dict(),
        "features.safetensors",
        extractor="small-convnet",
        shape=[1, 12, 12],
        networks={"features": {"backbone": "convnet", "settings": settings}},
    )


def write_unlabelled(folder: Path) -> Path:
    """A system whose features are principal components."""
    random = torch.Generator().manual_seed(1)
    components = torch.linalg.qr(torch.randn(144, 5, generator=random)).Q.T.contiguous()
    tensors = {"mean": torch.rand(144, generator=random), "components": components}
    about: dict[str, Any] = {"extractor": "small-pca", "shape": [1, 12, 12], "networks": {}}
    return write_system(folder, tensors, "clusters.safetensors", **about)
