"""The one entry point: samples in, numbers with intervals out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ddm_core.errors import RequestError
from ddm_core.metrics.base import METRICS, Evidence, Measured
from ddm_core.metrics.extractors.base import Extractor, Progress, extract_features, never
from ddm_core.metrics.reference import Reference, load_reference

__all__ = ["gather", "measure", "measure_evidence"]


def measure(
    names: Iterable[str],
    images: Tensor | NDArray[np.generic],
    reference: Reference | str | Path,
    extractor: Extractor,
    *,
    batch: int = 250,
    replicates: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = never,
) -> dict[str, Measured]:
    """Each metric of the samples, by its name.

    Arguments:
        names: of metrics, with settings where wished: "fid", "kid:subsets=50".
        images: uint8 [sample, channel, height, width], or points [sample, axis].
        reference: of the real data, or the folder that holds `<extractor>.safetensors`.
        extractor: gives the features; must be the one that the reference was made with.
        batch: samples per call of the extractor.
        replicates: of a bootstrap.
        seed: of everything random.
        progress: told how many samples have their features.
        should_stop: asked now and then.

    Raises:
        RequestError: unknown names, too few samples, a reference of another extractor.
        WorkError: cancelled, or a feature is not finite.
    """
    names = tuple(names)
    for name in names:
        METRICS.parse(name)
    evidence = gather(
        images,
        reference,
        extractor,
        batch=batch,
        replicates=replicates,
        seed=seed,
        progress=progress,
        should_stop=should_stop,
    )
    return measure_evidence(names, evidence)


def gather(
    images: Tensor | NDArray[np.generic],
    reference: Reference | str | Path,
    extractor: Extractor,
    *,
    batch: int = 250,
    replicates: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = never,
) -> Evidence:
    """The features of the samples beside the reference: arguments and errors as in `measure`.

    What is expensive is done here once; metrics and paired differences share it.
    """
    if len(images) < 2:
        raise RequestError(f"a metric needs at least 2 samples, not {len(images)}")
    if not isinstance(reference, Reference):
        reference = load_reference(Path(reference) / f"{extractor.name}.safetensors")
    if (reference.extractor, reference.weights) != (extractor.name, extractor.weights):
        raise RequestError(
            f"the reference was made with '{reference.extractor}' "
            f"(weights {reference.weights[:8]}), the samples are measured with "
            f"'{extractor.name}' (weights {extractor.weights[:8]})"
        )
    features = extract_features(
        extractor, images, batch=batch, progress=progress, should_stop=should_stop
    )
    return Evidence(features, reference, extractor.resize, replicates, seed, should_stop)


def measure_evidence(names: Iterable[str], evidence: Evidence) -> dict[str, Measured]:
    """Each metric of features that are there already, by its name."""
    metrics = [METRICS.parse(name) for name in names]
    return {metric.name: metric.measure(evidence) for metric in metrics}
