"""What a system's samples are measured with: its extractor and the statistics of its real data.

Reference statistics come with a system, so that a distance to its data needs no dataset; those of
the ring are known in closed form. Inception statistics are made from the dataset at first use.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from ddm_core.datasets import load_dataset
from ddm_core.devices import pick_device
from ddm_core.errors import RequestError
from ddm_core.metrics import (
    EXTRACTORS,
    METRICS,
    Extractor,
    Reference,
    load_reference,
    reference_from_images,
    save_reference,
)
from ddm_core.systems.analytic import GaussianPosterior
from ddm_core.systems.base import System

__all__ = [
    "Yardstick",
    "default_metrics",
    "extractor_of",
    "reference_of",
    "require_metrics",
    "yardstick",
    "yardstick_or_none",
]

#: Exact points that stand for the ring where a metric needs samples rather than moments.
RING_POINTS = 10_000


class Yardstick(NamedTuple):
    """What samples of a system are measured with; kept between runs, as a reference remembers."""

    system: str  # digest
    suffix: str  # of a metric's name where the features are not the system's own: fid@inception
    extractor: Extractor
    reference: Reference


def default_metrics(system: System) -> tuple[str, ...]:
    """What a comparison measures when nobody says."""
    if system.extractor is None:
        return ()
    return ("fid",) if system.is_image else ("fid", "energy_distance")


def require_metrics(names: Sequence[str], num: int) -> None:
    """Refuse metrics of so many samples that cannot be, before anything is sampled.

    Raises:
        RequestError: an unknown metric, or too few samples for one.
    """
    for metric in map(METRICS.parse, names):
        if num < metric.fewest:
            raise RequestError(f"{metric.title} needs at least {metric.fewest} samples, not {num}")


def extractor_of(system: System, name: str, device: torch.device) -> Extractor:
    """The extractor by name; "own" is the coordinates for points."""
    source = "coordinates" if name == "own" and not system.is_image else name
    return EXTRACTORS.parse(source).load(system.folder, device)


def reference_of(
    system: System,
    extractor: Extractor,
    *,
    data: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Reference:
    """The statistics of the system's real data in the extractor's features."""
    if isinstance(system.posterior, GaussianPosterior):
        return _ring_reference(system.posterior, extractor)
    if system.folder is None:
        raise RequestError(f"system '{system.name}' has no folder, and so no reference statistics")
    path = system.folder / "reference" / f"{extractor.name}.safetensors"
    if not path.is_file():
        dataset = str(system.info.get("training", {}).get("dataset", system.name))
        real = load_dataset(dataset, split="train", folder=data)
        made = reference_from_images(
            extractor, real.images, split=f"{real.name} train", progress=progress
        )
        save_reference(path.parent, made)
    reference = load_reference(path)
    if reference.weights != extractor.weights:
        raise RequestError(f"{path} was made with other weights of {extractor.name}")
    return reference


def yardstick(system: System, extractor: str = "own", device: str = "auto") -> Yardstick:
    """The extractor and the statistics of the real data.

    Raises:
        RequestError: the system has nothing to be measured with; says what is missing.
    """
    features = extractor_of(system, extractor, pick_device(device))
    suffix = "" if extractor == "own" else f"@{extractor}"
    return Yardstick(system.digest, suffix, features, reference_of(system, features))


def yardstick_or_none(system: System, device: str = "auto") -> Yardstick | None:
    """The same, or None for a system that has nothing to be measured with."""
    return None if system.extractor is None else yardstick(system, device=device)


def _ring_reference(posterior: GaussianPosterior, extractor: Extractor) -> Reference:
    centres = tuple(map(tuple, posterior.centres.double().cpu().tolist()))
    return _mixture_reference(centres, posterior.spread, extractor.name, extractor.weights)


# Rings whose experts differ draw from one mixture: what is computed of it once serves them all.
@functools.lru_cache(maxsize=8)
def _mixture_reference(
    places: tuple[tuple[float, ...], ...], spread: float, extractor: str, weights: str
) -> Reference:
    centres = np.array(places)
    between = np.cov(centres.T, bias=True).reshape(2, 2)
    random = np.random.default_rng(0)
    which = random.integers(len(centres), size=RING_POINTS)
    points = centres[which] + spread * random.standard_normal((RING_POINTS, 2))
    return Reference(
        extractor,
        weights,
        "the ring's mixture of Gaussians",
        RING_POINTS,
        centres.mean(axis=0),
        between + spread**2 * np.eye(2),
        points,
        exact=True,
    )
