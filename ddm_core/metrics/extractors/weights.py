"""A system's own feature net: a small classifier, or the principal components of its clustering.

`system.toml` names the extractor and, in `[networks.features]`, the net whose weights lie in
`features.safetensors`. A system without labels has no such net; its features are then the linear
map in `clusters.safetensors`. A file with another sha256 than `system.toml` says is refused.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor, nn

from ddm_core.errors import RequestError
from ddm_core.metrics.extractors.base import Array
from ddm_core.nets import ConvClassifier, build

__all__ = ["LinearFeatures", "OwnNet", "confidence_of", "load_own", "own_name"]

MANIFEST = "system.toml"


class LinearFeatures(nn.Module):
    """Principal components of pixels, for images without labels to train a classifier on.

    Arguments:
        channels: of the images, 1 or 3.
        mean: [dimension]
        components: [feature, dimension]
    """

    def __init__(self, channels: int, mean: Tensor, components: Tensor) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("mean", mean)
        self.register_buffer("components", components)

    mean: Tensor
    components: Tensor

    def prepare(self, images: Tensor) -> Tensor:
        """Uint8 [sample, 1 or 3, height, width] -> float in [-1, 1] with this map's channels."""
        x = images.to(torch.float32) / 127.5 - 1
        if x.shape[1] == 3 and self.channels == 1:
            return x.mean(dim=1, keepdim=True)
        return x.expand(-1, self.channels, -1, -1)

    def features(self, x: Tensor) -> Tensor:
        """components (flatten(x) - mean): [sample, *] -> [sample, feature]."""
        return (x.flatten(1) - self.mean) @ self.components.T


class OwnNet(NamedTuple):
    """What a system measures its samples with."""

    name: str
    net: ConvClassifier | LinearFeatures
    size: int  # pixels, of the square images that it was made for
    dims: int  # number of features
    path: Path  # of the weights
    digest: str  # sha256 of that file


def load_own(folder: Path) -> OwnNet:
    """The feature net of a checkpoint folder, on the CPU.

    Raises:
        RequestError: no such net, or a file is missing, damaged or of another system.
    """
    about = _manifest(folder / MANIFEST)
    name = about.get("extractor")
    shape = about.get("shape")
    if not name or not shape:
        raise RequestError(f"{folder / MANIFEST} names no feature extractor of the system's own")
    wish = about.get("networks", {}).get("features")
    path = folder / ("features.safetensors" if wish else "clusters.safetensors")
    try:
        raw = path.read_bytes()
        tensors = load(raw)
    except (OSError, SafetensorError) as error:
        raise RequestError(f"{path} cannot be read: {error}") from None
    digest = hashlib.sha256(raw).hexdigest()
    if digest != about.get("files", {}).get(path.name):
        raise RequestError(f"{path} is damaged or foreign: {MANIFEST} has another sha256")
    try:
        if wish:
            net = build(wish["backbone"], wish["settings"])
            if not isinstance(net, ConvClassifier):
                raise RequestError(f"backbone '{wish['backbone']}' has no features")
            net.load_state_dict(tensors)
            dims = net.embed.out_features
        else:
            net = LinearFeatures(int(shape[0]), tensors["mean"], tensors["components"])
            dims = len(net.components)
    except (KeyError, TypeError, RuntimeError, ValueError) as error:
        raise RequestError(f"{path} does not fit {MANIFEST}: {error}") from None
    net.eval().requires_grad_(False)
    return OwnNet(str(name), net, int(shape[-1]), dims, path, digest)


def confidence_of(folder: Path | None) -> Callable[[Array], Array] | None:
    """Features [sample, feature] -> largest probability that the own classifier gives [sample].

    None where the system has no folder, or no labels to train a classifier on.
    """
    if folder is None or own_name(folder) is None:
        return None
    net = load_own(folder).net
    if not isinstance(net, ConvClassifier):
        return None
    head = net.head

    def confidence(features: Array) -> Array:
        with torch.no_grad():
            logits = head(torch.from_numpy(features).to(head.weight.dtype))
        return torch.softmax(logits, dim=1).amax(dim=1).double().numpy()

    return confidence


def own_name(folder: Path) -> str | None:
    """What `system.toml` calls the extractor; None without such a file or name."""
    path = folder / MANIFEST
    return _manifest(path).get("extractor") or None if path.is_file() else None


def _manifest(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise RequestError(f"{path} cannot be read: {error}") from None
