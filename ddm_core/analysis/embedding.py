"""From the features of images to places on a plane, also for images that come later.

An embedding is fitted once and then only places: the real data, and whatever is compared with
them, land on one plane by one rule. PCA is linear, so that its rule is exact for everybody. UMAP
knows only the points that it was fitted on; anything else goes between its nearest neighbours.

References:
    UMAP: Uniform Manifold Approximation and Projection (McInnes, Healy and Melville, 2018)
    A two-dimensional interpolation function for irregularly-spaced data (Shepard, 1968)
    Neighborhood preservation in nonlinear projection methods (Venna and Kaski, 2001)
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod

import numpy as np

__all__ = [
    "Embedding",
    "Linear",
    "Neighbours",
    "Plane",
    "distances",
    "fit_umap",
    "left_out",
    "principal_axes",
    "spacing",
    "trustworthiness",
]

NEIGHBOURS = 15
_ROWS = 512  # of a block of distances: 512 x 4000 of them are 16 MB


@dataclasses.dataclass(frozen=True)
class Embedding(ABC):
    """Where features lie on the plane. The same answer for the same features on every machine."""

    @abstractmethod
    def transform(self, features: np.ndarray) -> np.ndarray:
        """phi [point, feature] -> places [point, 2], float64."""


@dataclasses.dataclass(frozen=True)
class Plane(Embedding):
    """Points of the plane are their own places."""

    def transform(self, features: np.ndarray) -> np.ndarray:
        return np.asarray(features[:, :2], dtype=np.float64)


@dataclasses.dataclass(frozen=True)
class Linear(Embedding):
    """Principal components: y = axes (phi - mean), exact for every point.

    Arguments:
        mean: [feature]
        axes: [2, feature], orthonormal rows.
    """

    mean: np.ndarray
    axes: np.ndarray

    def transform(self, features: np.ndarray) -> np.ndarray:
        return (features.astype(np.float64) - self.mean) @ self.axes.T.astype(np.float64)


@dataclasses.dataclass(frozen=True)
class Neighbours(Embedding):
    """Between the nearest points whose places are known: y = sum_i w_i y_i / sum_i w_i.

    w_i = 1 / |phi - phi_i|^2 over the 15 nearest fitted points. A fitted point is where it was
    fitted; of two that are equal, the first counts. No random number is drawn, and no point's
    place depends on which others are asked for.

    Arguments:
        features: of the fitted points, [fitted, feature].
        places: of the fitted points, [fitted, 2].
    """

    features: np.ndarray
    places: np.ndarray

    def transform(self, features: np.ndarray) -> np.ndarray:
        rows, squares = _nearest(features, self.features, NEIGHBOURS)
        return _between(self.places[rows], squares)


def distances(features: np.ndarray, fitted: np.ndarray) -> np.ndarray:
    """From each of features [point, feature] to the nearest of fitted [fitted, feature]: [point].

    In the space of the features, where distances mean something.
    """
    return np.sqrt(_nearest(features, fitted, 1)[1][:, 0])


def left_out(features: np.ndarray, places: np.ndarray) -> np.ndarray:
    """How far from its place the rule of `Neighbours` puts a point that it does not know.

    Each point [point, feature] is placed by the others at their places [point, 2]: [point].
    """
    rows, squares = _others(features, NEIGHBOURS)
    return np.linalg.norm(_between(places[rows], squares) - places, axis=1)


def spacing(features: np.ndarray) -> np.ndarray:
    """From each of features [point, feature] to the nearest of the others: [point]."""
    return np.sqrt(_others(features, 1)[1][:, 0])


def _others(features: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """As `_nearest` among the points themselves, each without itself."""
    rows, squares = _nearest(features, features, count + 1)
    own = rows == np.arange(len(rows))[:, None]
    # Where many are equal, a point may not be among its own nearest: then one of them goes.
    own[:, 0] |= ~own.any(axis=1)
    shape = (len(rows), rows.shape[1] - 1)
    return rows[~own].reshape(shape), squares[~own].reshape(shape)


def _between(places: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Places [point, neighbour, 2] weighted by one over squared distance [point, neighbour]."""
    there = squares[:, :1] == 0
    weights = 1 / np.where(there, 1.0, squares)
    weights /= weights.sum(axis=1, keepdims=True)
    mixed = (weights[:, :, None] * places.astype(np.float64)).sum(axis=1)
    return np.where(there, places[:, 0], mixed)


def _nearest(points: np.ndarray, fitted: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the nearest fitted points and squared distances to them, [point, count] each.

    Equal distances go by the row, so that nothing is left to chance. The distances are sums of
    squared differences: the faster |a|^2 - 2 a b + |b|^2 does not give an exact zero.
    """
    # Imported here: pages that only show a map need not wait for it.
    from scipy.spatial.distance import cdist

    count = min(count, len(fitted))
    rows = np.empty((len(points), count), dtype=np.int64)
    squares = np.empty((len(points), count))
    for start in range(0, len(points), _ROWS):
        block = slice(start, start + _ROWS)
        squared = cdist(points[block], fitted, "sqeuclidean")
        rows[block] = squared.argsort(axis=1, kind="stable")[:, :count]
        squares[block] = np.take_along_axis(squared, rows[block], axis=1)
    return rows, squares


def principal_axes(features: np.ndarray) -> Linear:
    """The two directions in which features [point, feature] vary most.

    Each axis points to where its largest entry is positive: the map has one orientation.
    """
    mean = features.mean(axis=0, dtype=np.float64)
    _, _, rows = np.linalg.svd(features.astype(np.float64) - mean, full_matrices=False)
    axes = np.zeros((2, features.shape[1]))
    axes[: len(rows[:2])] = rows[:2]
    peak = np.abs(axes).argmax(axis=1)
    turned = np.where(axes[np.arange(2), peak] < 0, -1.0, 1.0)
    return Linear(mean.astype(np.float32), (axes * turned[:, None]).astype(np.float32))


def fit_umap(features: np.ndarray) -> Neighbours:
    """UMAP of features [point, feature] with 15 neighbours and min_dist 0.1.

    One thread and a fixed seed: the same map at every call on one machine. Other machines may get
    another one, which is why places are stored, not seeds. The first call of a process takes
    about a minute, most of it to compile.
    """
    # Imported here: it takes half a minute, and everything else in this file does without.
    from numba.core import config
    from umap import UMAP

    # Its other layers set OpenMP's number of threads for the whole process: what torch computes
    # afterwards would be slower, and differ in its last bits.
    config.THREADING_LAYER = "workqueue"  # pyright: ignore[reportAttributeAccessIssue]

    fitted = UMAP(
        n_neighbors=min(NEIGHBOURS, len(features) - 1), min_dist=0.1, random_state=0, n_jobs=1
    )
    places = np.asarray(fitted.fit_transform(features), dtype=np.float32)
    return Neighbours(features, places)


def trustworthiness(features: np.ndarray, places: np.ndarray) -> float:
    """How far neighbours on the map are neighbours in the features; 1 is all of them, 15 each."""
    from sklearn.manifold import trustworthiness as measure

    # It is defined for fewer neighbours than half of the points.
    count = min(NEIGHBOURS, (len(features) - 1) // 2)
    return float(measure(features, places, n_neighbors=count))
