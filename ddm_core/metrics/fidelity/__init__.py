"""torch-fidelity's building blocks, typed, and imported at the first call: that takes a second.

Only this package and the extractors speak to torch-fidelity. What is easy to get wrong is settled
here: no CUDA unless asked, no cache keyed by a bare name, generated samples first.

References:
    High-fidelity performance metrics for generative models in PyTorch (Obukhov et al., 2020)
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from ddm_core.metrics.fidelity.lean import import_torchvision
from ddm_core.versions import installed

__all__ = [
    "Statistics",
    "feature_statistics",
    "frechet_distance",
    "kernel_distance",
    "library",
    "precision_recall",
]

Array = NDArray[np.floating]


class Statistics(NamedTuple):
    """Mean [feature] and covariance [feature, feature] of a set of features."""

    mu: Array
    sigma: Array


def library() -> str:
    """The library and its version, as a protocol names it."""
    return f"torch-fidelity {installed('torch-fidelity')}"


def feature_statistics(features: Array) -> Statistics:
    """Mean and covariance (divided by n - 1) of features [sample, feature]."""
    import_torchvision()
    from torch_fidelity.metric_fid import fid_features_to_statistics

    found = fid_features_to_statistics(torch.from_numpy(features))
    return Statistics(found["mu"], np.atleast_2d(found["sigma"]))


def frechet_distance(generated: Statistics, reference: Statistics) -> float:
    """|mu_1 - mu_2|^2 + tr(S_1 + S_2 - 2 (S_1 S_2)^(1/2))."""
    import_torchvision()
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric

    # The block wants one dtype; references may be more precise than the features of a few samples.
    dtype = np.result_type(generated.mu, reference.mu)
    one, two = (
        {"mu": s.mu.astype(dtype), "sigma": s.sigma.astype(np.float64)}
        for s in (generated, reference)
    )
    found = fid_statistics_to_metric(one, two, verbose=False)
    return float(found[KEY_METRIC_FID])


def kernel_distance(
    generated: Array, reference: Array, *, subsets: int, subset_size: int, seed: int
) -> tuple[float, float]:
    """Mean and standard deviation over subsets of the unbiased MMD^2 with the cubic kernel."""
    import_torchvision()
    from torch_fidelity.metric_kid import (
        KEY_METRIC_KID_MEAN,
        KEY_METRIC_KID_STD,
        kid_features_to_metric,
    )

    found = kid_features_to_metric(
        torch.from_numpy(generated),
        torch.from_numpy(reference),
        kid_subsets=subsets,
        kid_subset_size=subset_size,
        rng_seed=seed,
        verbose=False,
    )
    return float(found[KEY_METRIC_KID_MEAN]), float(found[KEY_METRIC_KID_STD])


def precision_recall(
    generated: Array, reference: Array, *, neighbours: int
) -> tuple[float, float]:
    """Share of generated samples near a real one, and of real samples near a generated one."""
    import_torchvision()
    from torch_fidelity.metric_prc import (
        KEY_METRIC_PRECISION,
        KEY_METRIC_RECALL,
        prc_features_to_metric,
    )

    found = prc_features_to_metric(
        torch.from_numpy(generated),
        torch.from_numpy(reference),
        prc_neighborhood=neighbours,
        save_cpu_ram=True,
        verbose=False,
    )
    return float(found[KEY_METRIC_PRECISION]), float(found[KEY_METRIC_RECALL])
