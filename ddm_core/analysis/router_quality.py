"""How good a router is on noised real data: accuracy, calibration, entropy, by noise level.

References:
    On Calibration of Modern Neural Networks (Guo et al., 2017)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.special import softmax

from ddm_core.analysis import statistics
from ddm_core.analysis.calibration import (
    Bin,
    calibration_error,
    fit_temperature,
    likelihood,
    reliability,
    temperature_estimate,
)
from ddm_core.analysis.numbers import curve
from ddm_core.analysis.truth import Array, Truth
from ddm_core.errors import unknown
from ddm_core.intervals import Estimate

__all__ = ["RouterQuality", "fit_temperature", "quality_document", "router_quality"]


class RouterQuality(NamedTuple):
    """A router against the true clusters, at temperature 1.

    Arguments:
        name: of the router.
        times: noise levels [time].
        accuracy: share of items whose own cluster is the likeliest, by noise level.
        ece: expected calibration error in 15 bins, by noise level.
        entropy: mean, in nats, by noise level.
        chance: accuracy of always naming the largest cluster.
        reliability: of all answers, by confidence.
        accuracy_all: mean over noise levels.
        ece_all, nll: of all answers.
        temperature: of the largest likelihood; ece_fitted, nll_fitted are those at it.
        n: number of items.
    """

    name: str
    times: Array
    accuracy: tuple[Estimate, ...]
    ece: tuple[float, ...]
    entropy: tuple[Estimate, ...]
    chance: float
    reliability: tuple[Bin, ...]
    accuracy_all: Estimate
    ece_all: float
    ece_fitted: float
    nll: float
    nll_fitted: float
    temperature: Estimate
    n: int


def router_quality(truth: Truth, name: str) -> RouterQuality:
    """What a router makes of the pass over real data.

    Raises:
        RequestError: the pass has no answers of this router.
    """
    if name not in truth.logits:
        raise unknown("recorded router", name, truth.logits)
    logits, clusters = truth.logits[name].astype(np.float64), truth.clusters
    p = softmax(logits, axis=2)
    right = (p.argmax(axis=2) == clusters).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(p > 0, p * np.log(p), 0.0).sum(axis=2)
    temperature = temperature_estimate(logits, clusters)
    every, true = p.reshape(-1, p.shape[2]), np.tile(clusters, len(p))
    fitted = softmax(logits / (temperature.value or 1.0), axis=2).reshape(every.shape)
    sizes = np.bincount(clusters, minlength=p.shape[2])
    return RouterQuality(
        name,
        truth.times,
        tuple(curve(right)),
        tuple(calibration_error(one, clusters) for one in p),
        tuple(curve(entropy)),
        float(sizes.max() / sizes.sum()),
        tuple(reliability(every, true)),
        statistics.mean(right.mean(axis=0), "all noise levels alike"),
        calibration_error(every, true),
        calibration_error(fitted, true),
        likelihood(every, true),
        likelihood(fitted, true),
        temperature,
        len(clusters),
    )


def quality_document(truth: Truth, name: str) -> dict[str, Any] | None:
    """The same as audit.json has it; None where the router's answers were not recorded."""
    if name not in truth.logits:
        return None
    found = router_quality(truth, name)
    return {
        **found._asdict(),
        "times": [round(float(t), 6) for t in found.times],
        "accuracy": [one.to_json() for one in found.accuracy],
        "ece": list(found.ece),
        "entropy": [one.to_json() for one in found.entropy],
        "reliability": [one._asdict() for one in found.reliability],
        "accuracy_all": found.accuracy_all.to_json(),
        "temperature": found.temperature.to_json(),
    }
