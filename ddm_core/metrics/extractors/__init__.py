"""Feature extractors: Inception, a system's own small network or linear map, coordinates."""

from __future__ import annotations

from pathlib import Path

import torch

from ddm_core.errors import unknown
from ddm_core.metrics.extractors.base import EXTRACTORS, Extractor, FeatureSource, extract_features
from ddm_core.metrics.extractors.weights import own_name

__all__ = ["EXTRACTORS", "Extractor", "FeatureSource", "extract_features", "load_extractor"]


def load_extractor(
    spec: str, folder: str | Path | None = None, device: str | torch.device = "cpu"
) -> Extractor:
    """The extractor that a spec names, ready to run.

    Arguments:
        spec: a member of the family with its settings ("inception", "coordinates", "own"), or the
            name that the system's own extractor carries ("mnist-convnet").
        folder: of the system, None where it has none.
        device: where a network runs.

    Raises:
        RequestError: no such extractor, or its weights are not what they should be.
        WorkError: Inception's weights are nowhere to be had.
    """
    folder = None if folder is None else Path(folder)
    device = torch.device(device)
    if spec.partition(":")[0] in EXTRACTORS:
        return EXTRACTORS.parse(spec).load(folder, device)
    own = own_name(folder) if folder is not None else None
    if spec != own:
        raise unknown("extractor", spec, [*EXTRACTORS, *([own] if own else [])])
    return EXTRACTORS["own"]().load(folder, device)
