"""Which expert learns which image: k-means on principal components, without any label.

References:
    Decentralized Diffusion Models (McAllister et al., 2025)
    Silhouettes: a Graphical Aid to the Interpretation and Validation of Cluster Analysis
    (Rousseeuw, 1987)
"""

from __future__ import annotations

import warnings

import numpy as np
import torch
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import silhouette_score
from torch import Tensor

from ddm_core.errors import RequestError

__all__ = ["as_float", "assign", "find_clusters"]

_MOST_COMPONENTS = 50
_MOST_NUMBERS = 2**26  # rows x columns that the principal components are fitted on
_MOST_SCORED = 2000
_EXAMPLES = 16


def as_float(images: Tensor) -> Tensor:
    """uint8 [image, *] -> float32 in [-1, 1]."""
    return images.to(torch.float32) / 127.5 - 1


def project(x: Tensor, mean: Tensor, components: Tensor) -> Tensor:
    """phi(x) = components (flatten(x) - mean): [image, *] -> [image, feature]."""
    return (x.flatten(1) - mean) @ components.T


def assign(x: Tensor, clusters: dict[str, Tensor]) -> Tensor:
    """The nearest feature centroid of each image, int64 [image]; x in [-1, 1]."""
    phi = project(x, clusters["mean"], clusters["components"])
    return torch.cdist(phi, clusters["feature_centroids"]).argmin(dim=1)


def find_clusters(images: Tensor, experts: int | str, seed: int) -> dict[str, Tensor]:
    """The clusters of a dataset, the largest first.

    Arguments:
        images: uint8 [image, channel, height, width].
        experts: how many clusters, or "auto": the best silhouette of 2 to 16.
        seed: of the components, the starts of k-means and the examples.

    Returns:
        mean [dimension], components [feature, dimension], feature_centroids [expert, feature],
        centroids [expert, channel, height, width], sizes [expert], spread [] and feature_spread []
        (see `Clusters`), examples uint8 [expert, 16, channel, height, width] and the assignment
        int64 [image].

    Raises:
        RequestError: fewer distinct images than clusters.
    """
    n = len(images)
    if n < 4 or (experts != "auto" and n <= int(experts)):
        raise RequestError(f"{n} training images are too few for {experts} clusters")
    x = as_float(images)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(n)[: max(1000, _MOST_NUMBERS // x[0].numel())]
    flat = x.flatten(1).numpy()
    pca = PCA(
        n_components=min(_MOST_COMPONENTS, len(rows) - 1, flat.shape[1]),
        random_state=seed,
    )
    pca.fit(flat[np.sort(rows)])
    mean = torch.from_numpy(np.asarray(pca.mean_, dtype=np.float32))
    components = torch.from_numpy(np.asarray(pca.components_, dtype=np.float32))
    phi = project(x, mean, components).numpy()
    count = _best_count(phi, rng, seed) if experts == "auto" else int(experts)
    found, labels = _k_means(phi, count, 10, seed)
    sizes = np.bincount(labels, minlength=count)
    if (sizes == 0).any():
        raise RequestError(f"the images are too alike for {count} clusters: ask for fewer experts")
    order = np.argsort(-sizes, kind="stable")
    assignment = torch.from_numpy(np.argsort(order)[labels].astype(np.int64))
    members = [torch.nonzero(assignment == k).flatten() for k in range(count)]
    centroids = torch.stack([x[m].mean(dim=0) for m in members])
    spread = (x - centroids[assignment]).square().mean().sqrt()
    feature_spread = float(np.sqrt(np.square(phi - found[labels]).mean(dtype=np.float64)))
    examples = torch.stack(
        [
            images[m[torch.from_numpy(rng.choice(len(m), _EXAMPLES, len(m) < _EXAMPLES))]]
            for m in members
        ]
    )
    return {
        "mean": mean,
        "components": components,
        "feature_centroids": torch.from_numpy(found[order].astype(np.float32)),
        "centroids": centroids,
        "sizes": torch.from_numpy(sizes[order].astype(np.int64)),
        "spread": spread,
        "feature_spread": torch.tensor(feature_spread),
        "examples": examples,
        "assignment": assignment,
    }


def _k_means(phi: np.ndarray, count: int, starts: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Centroids [expert, feature] and the nearest one of each image [image]."""
    # The stubs know n_init only as the word "auto".
    found = KMeans(count, n_init=starts, random_state=seed)  # pyright: ignore[reportArgumentType]
    with warnings.catch_warnings():
        # Fewer distinct images than clusters: the caller tells that in a sentence.
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = found.fit_predict(phi)
    return np.asarray(found.cluster_centers_), np.asarray(labels)


def _best_count(phi: np.ndarray, rng: np.random.Generator, seed: int) -> int:
    """The number of clusters with the best silhouette on a subsample."""
    some = phi[np.sort(rng.permutation(len(phi))[:_MOST_SCORED])]
    scores = {
        k: float(silhouette_score(some, _k_means(some, k, 3, seed)[1]))
        for k in range(2, min(16, len(some) - 1) + 1)
    }
    return max(scores, key=lambda k: scores[k])
