"""A system's own small network as a feature extractor that torch-fidelity knows by name.

The registered class holds no weights: their path comes with every creation, as
`feature_extractor_weights_path`. So one registration per name is enough, two systems may use one
name, and `torch_fidelity.calculate_metrics` can repeat any number that this package gives.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch_fidelity import FeatureExtractorBase, register_feature_extractor
from torch_fidelity.registry import FEATURE_EXTRACTORS_REGISTRY

from ddm_core.errors import RequestError
from ddm_core.metrics.extractors.weights import load_own

__all__ = ["LAYER", "NetworkExtractor", "register_network"]

LAYER = "features"


class NetworkExtractor(FeatureExtractorBase):
    """The last hidden layer of a system's own net, or its linear map.

    Arguments:
        name: under which it is registered; must be the one in system.toml.
        features_list: `["features"]`.
        feature_extractor_weights_path: a safetensors file beside its system.toml.
        options: what torch-fidelity passes to every extractor; nothing of it concerns this one.
    """

    def __init__(
        self,
        name: str,
        features_list: list[str],
        feature_extractor_weights_path: str | Path | None = None,
        **options: object,
    ) -> None:
        super().__init__(name, features_list)
        if feature_extractor_weights_path is None:
            raise RequestError(f"extractor '{name}' needs the path of its weights")
        path = Path(feature_extractor_weights_path)
        own = load_own(path.parent)
        if (own.name, own.path.name) != (name, path.name):
            raise RequestError(f"{path} is not the extractor '{name}' but of '{own.name}'")
        self.net = own.net
        self.size = own.size

    def forward(self, input: Tensor) -> tuple[Tensor]:
        """Uint8 [sample, 3, height, width] -> ([sample, feature],)."""
        if input.dtype != torch.uint8 or input.ndim != 4 or input.shape[1] != 3:
            raise RequestError(
                f"'{self.name}' needs images uint8 [sample, 3, height, width], "
                f"not {input.dtype} {list(input.shape)}"
            )
        images = input
        if images.shape[2:] != (self.size, self.size):
            images = functional.interpolate(
                images.float(), (self.size, self.size), mode="bilinear", antialias=True
            )
        return (self.net.features(self.net.prepare(images)),)

    @staticmethod
    def get_provided_features_list() -> tuple[str, ...]:
        """The one layer."""
        return (LAYER,)

    @staticmethod
    def get_default_feature_layer_for_metric(metric: str) -> str:
        """The one layer, for every metric that compares features."""
        if metric == "isc":
            raise RequestError("the Inception score needs Inception; there are: fid, kid, prc")
        return LAYER

    @staticmethod
    def can_be_compiled() -> bool:
        """Not worth the wait for a network that is this small."""
        return False


def register_network(name: str) -> None:
    """Make `name` known to torch-fidelity; a second time does nothing.

    Raises:
        RequestError: another class holds the name.
    """
    known = FEATURE_EXTRACTORS_REGISTRY.get(name)
    if known is None:
        register_feature_extractor(name, NetworkExtractor)
    elif known.__qualname__ != NetworkExtractor.__qualname__:
        raise RequestError(
            f"torch-fidelity has an extractor '{name}' already: choose another name"
        )
