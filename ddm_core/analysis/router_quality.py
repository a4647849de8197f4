"""How good a router is on noised real data: accuracy, calibration, entropy, by noise level.

References:
    On Calibration of Modern Neural Networks (Guo et al., 2017)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp, softmax

from ddm_core.analysis import statistics
from ddm_core.analysis.numbers import curve
from ddm_core.analysis.truth import Array, Truth
from ddm_core.summary import Estimate

__all__ = ["Bin", "calibration_error", "fit_temperature", "quality_document", "reliability"]

BINS = 15
REPLICATES = 200
COLDEST, HOTTEST = 0.02, 50.0


class Bin(NamedTuple):
    """Answers of one confidence.

    Arguments:
        low, high: of the largest probability.
        confidence: mean of it.
        accuracy: share of right answers.
        n: number of answers.
    """

    low: float
    high: float
    confidence: float
    accuracy: float
    n: int


def reliability(p: Array, clusters: Array) -> list[Bin]:
    """Bins of equal width in the largest probability, the empty ones left out.

    Arguments:
        p: probabilities [sample, expert].
        clusters: the true ones [sample].
    """
    confidence, right = p.max(axis=1), p.argmax(axis=1) == clusters
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    out: list[Bin] = []
    for b in range(BINS):
        inside = place == b
        if inside.any():
            out.append(
                Bin(
                    b / BINS,
                    (b + 1) / BINS,
                    float(confidence[inside].mean()),
                    float(right[inside].mean()),
                    int(inside.sum()),
                )
            )
    return out


def calibration_error(p: Array, clusters: Array) -> float:
    """Expected calibration error: mean |confidence - accuracy| over answers, by bin."""
    bins = reliability(p, clusters)
    total = sum(one.n for one in bins)
    return sum(one.n * abs(one.confidence - one.accuracy) for one in bins) / total


def fit_temperature(logits: Array, clusters: Array) -> float:
    """The temperature that minimises the negative log-likelihood of the true clusters.

    Arguments:
        logits: [..., sample, expert].
        clusters: [sample].
    """
    flat = logits.astype(np.float64).reshape(-1, logits.shape[-1])
    true = np.broadcast_to(clusters, logits.shape[:-1]).ravel()
    at = flat[np.arange(len(flat)), true]

    def loss(log_temperature: float) -> float:
        scaled = np.exp(-log_temperature)
        return float((logsumexp(flat * scaled, axis=1) - at * scaled).mean())

    # Convex in 1 / T, hence with one minimum in log T.
    bounds = (float(np.log(COLDEST)), float(np.log(HOTTEST)))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def quality_document(truth: Truth, name: str) -> dict[str, Any] | None:
    """A router's quality as audit.json has it; None where its answers were not recorded."""
    if name not in truth.logits:
        return None
    logits, clusters = truth.logits[name].astype(np.float64), truth.clusters
    p = softmax(logits, axis=2)
    right = (p.argmax(axis=2) == clusters).astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        entropy = -np.where(p > 0, p * np.log(p), 0.0).sum(axis=2)
    every, true = p.reshape(-1, p.shape[2]), np.tile(clusters, len(p))
    temperature = _temperature(logits, clusters)
    fitted = softmax(logits / (temperature.value or 1.0), axis=2).reshape(every.shape)
    shares = np.bincount(clusters, minlength=p.shape[2]) / len(clusters)
    return {
        "name": name,
        "times": [round(float(t), 6) for t in truth.times],
        "accuracy": [one.to_json() for one in curve(right)],
        "ece": [calibration_error(one, clusters) for one in p],
        "entropy": [one.to_json() for one in curve(entropy)],
        "chance": float(shares.max()),
        "reliability": [one._asdict() for one in reliability(every, true)],
        "ece_all": calibration_error(every, true),
        "ece_fitted": calibration_error(fitted, true),
        "temperature": temperature.to_json(),
        "nll": _likelihood(every, true),
        "nll_fitted": _likelihood(fitted, true),
        "accuracy_all": statistics.mean(right.mean(axis=0), "all noise levels alike").to_json(),
        "n": len(clusters),
    }


def _temperature(logits: Array, clusters: Array) -> Estimate:
    """The fitted temperature with an interval over items: all noise levels of one go together."""
    value = fit_temperature(logits, clusters)
    random = np.random.default_rng(0)
    n = len(clusters)
    some = [random.integers(n, size=n) for _ in range(REPLICATES if n <= 500 else 50)]
    draws = [float(np.log(fit_temperature(logits[:, rows], clusters[rows]))) for rows in some]
    spread = float(np.std(draws, ddof=1))
    method = (
        "minimises the negative log-likelihood of held-out data; 95% normal interval of log T, "
        f"bootstrap over items, B = {len(draws)}"
    )
    z = 1.959964
    low, high = value * np.exp(-z * spread), value * np.exp(z * spread)
    return Estimate(value, float(low), float(high), n, method)


def _likelihood(p: Array, clusters: Array) -> float:
    at = p[np.arange(len(p)), clusters]
    return float(-np.log(np.maximum(at, 1e-300)).mean())
