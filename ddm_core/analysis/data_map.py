"""The map of a system's data: real images, where they lie, and how to place what comes later.

It needs neither the dataset nor torch to be shown: it holds features and places of the fitted
points, and small pictures of the real ones.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ddm_core.analysis.embedding import Embedding, Plane, principal_axes, spacing, trustworthiness
from ddm_core.errors import RequestError

__all__ = ["SHARES", "STAGES", "About", "DataMap", "Space", "plain_map"]

#: Noise levels of the predictions that are fitted with the data, as shares of the largest t. Below
#: the least of them a prediction is hardly to be told from the data.
SHARES = (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
#: Stages of making a map; see `map_source.stages`.
STAGES = len(SHARES) + 3
_THUMBNAIL = 32  # pixels


class About(BaseModel):
    """What a map says about itself.

    Arguments:
        format: of the file; this program reads 1.
        system, digest: whose data these are.
        source: which real data, in words.
        shape: of one x_0.
        labels: class names, or none.
        fitted_with: what was fitted beside the real data, in words; "" for nothing.
        trustworthiness: of each embedding on the real data; see `embedding.trustworthiness`.
        placing_error: how far UMAP's rule puts a real point that was left out from its place,
            median, as a share of the map's width; None without UMAP.
        reach: all but 1% of the real points have another fitted point nearer than this.
        versions: of the programs that computed it.
    """

    model_config = ConfigDict(frozen=True)

    format: Literal[1] = 1
    system: str
    digest: str
    source: str
    shape: tuple[int] | tuple[int, int, int]
    labels: tuple[str, ...] = ()
    fitted_with: str = ""
    trustworthiness: dict[str, float] = {}
    placing_error: float | None = None
    reach: float = Field(ge=0)
    versions: dict[str, str] = {}


class Space(NamedTuple):
    """The features in which a system's data were clustered, for pictures as a trace keeps them.

    Arguments:
        shape: of one x_0, (channel, height, width), or (2,) for points.
        mean: [dimension]
        components: [feature, dimension]; None for the identity.
    """

    shape: tuple[int, ...]
    mean: np.ndarray
    components: np.ndarray | None

    def features(self, x: np.ndarray) -> np.ndarray:
        """phi = components (x - mean), float32 [point, feature].

        Arguments:
            x: pictures uint8 [point, height, width, channel], or points float [point, 2].

        Raises:
            RequestError: pictures of another shape, such as decoded latents.
        """
        here = x.shape[1:] if x.ndim == 2 else (x.shape[3], *x.shape[1:3])
        if tuple(here) != self.shape:
            raise RequestError(
                f"the pictures are {' x '.join(map(str, here))} and the map's are "
                f"{' x '.join(map(str, self.shape))}: only what the experts predict has a place"
            )
        if x.ndim == 2:
            flat = x.astype(np.float32)
        else:
            flat = np.moveaxis(x, 3, 1).reshape(len(x), -1).astype(np.float32) / 127.5 - 1
        away = flat - self.mean
        return away if self.components is None else away @ self.components.T


class DataMap(NamedTuple):
    """Everything that a picture of the data needs.

    Arguments:
        features: of the fitted points, the real ones first, [fitted, feature].
        clusters: of the real points, int [real].
        labels: of the real points, int [real], -1 where there is none.
        thumbnails: uint8 [real, height, width, channel]; None for points.
        embeddings: by name: pca, umap (when it is there), or plane.
    """

    about: About
    space: Space
    features: np.ndarray
    clusters: np.ndarray
    labels: np.ndarray
    thumbnails: np.ndarray | None
    embeddings: dict[str, Embedding]

    @property
    def real(self) -> np.ndarray:
        """Features of the real points, [real, feature]."""
        return self.features[: len(self.clusters)]


def plain_map(
    about: About,
    space: Space,
    x: np.ndarray,
    clusters: np.ndarray,
    labels: np.ndarray,
) -> DataMap:
    """The map of real data without anything that takes long: PCA of images, points as they are.

    Arguments:
        about: system, digest, source, labels and versions; the rest is filled in.
        x: pictures uint8 [real, height, width, channel], or points float [real, 2].
        clusters, labels: int [real]; a label is -1 where there is none.
    """
    features = space.features(x)
    embeddings: dict[str, Embedding] = {}
    trusted: dict[str, float] = {}
    if x.ndim == 2:
        embeddings["plane"] = Plane()
    else:
        # As the file holds them: what is fitted now is what is found again after loading.
        features = features.astype(np.float16).astype(np.float32)
        embeddings["pca"] = principal_axes(features)
        trusted["pca"] = trustworthiness(features, embeddings["pca"].transform(features))
    reach = float(np.quantile(spacing(features), 0.99))
    said = about.model_copy(update={"trustworthiness": trusted, "reach": reach})
    small = None if x.ndim == 2 else _thumbnails(x)
    return DataMap(said, space, features, clusters, labels, small, embeddings)


def _thumbnails(pictures: np.ndarray) -> np.ndarray:
    """Every so-manieth pixel of pictures [picture, height, width, channel], 32 at most a side."""
    stride = -(-max(pictures.shape[1:3]) // _THUMBNAIL)
    return pictures[:, ::stride, ::stride]
