"""A map of the data as a file: safetensors, no pickle; whatever does not fit is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from ddm_core import disk
from ddm_core.analysis.data_map import About, DataMap, Space
from ddm_core.analysis.embedding import Embedding, Linear, Neighbours, Plane
from ddm_core.errors import RequestError

__all__ = ["MAP", "kept_path", "load_map", "map_bytes", "save_map"]

#: Its name in a checkpoint's folder.
MAP = "map.safetensors"
_MOST_BYTES = 256 * 1024**2
_MOST_PIXELS = 64 * 1024**2


def kept_path(root: Path, digest: str) -> Path:
    """Where the store in this folder keeps the map of a system that ships without one.

    Raises:
        RequestError: the digest is none; names never become paths unchecked.
    """
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise RequestError(f"'{digest[:70]}' is no system's digest")
    return root / ".maps" / f"{digest}.safetensors"


def save_map(path: Path, data_map: DataMap) -> None:
    """Write a map; a reader sees the old one or the new one.

    Raises:
        WorkError: the disk is full, the folder is not writable.
    """
    disk.make_folder(path.parent)
    with disk.told("keep the map", path.parent):
        disk.replace_file(path, map_bytes(data_map))


def map_bytes(data_map: DataMap) -> bytes:
    """The bytes of a map's file. Features of images go in half precision, as they were fitted."""
    space = data_map.space
    tensors = {
        "mean": space.mean.astype(np.float32),
        "features": data_map.features.astype(_precision(data_map.about)),
        "clusters": data_map.clusters.astype(np.int16),
        "labels": data_map.labels.astype(np.int16),
    }
    if space.components is not None:
        tensors["components"] = space.components.astype(np.float32)
    if data_map.thumbnails is not None:
        tensors["thumbnails"] = _packed(data_map.thumbnails)
    for embedding in data_map.embeddings.values():
        if isinstance(embedding, Linear):
            tensors |= {"pca_mean": embedding.mean, "pca_axes": embedding.axes}
        elif isinstance(embedding, Neighbours):
            tensors["umap"] = embedding.places.astype(np.float32)
    whole = {name: np.ascontiguousarray(values) for name, values in tensors.items()}
    return save(whole, {"about": data_map.about.model_dump_json()})


def load_map(path: Path) -> DataMap:
    """Read a map back.

    Raises:
        RequestError: the file is missing, damaged, or not what this program understands.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise RequestError(f"{path} cannot be read: {error.strerror}") from None
    if size > _MOST_BYTES:
        raise RequestError(f"{path} is too large to be a map")
    try:
        with safe_open(path, framework="numpy") as file:
            said: dict[str, str] = file.metadata() or {}
            names: list[str] = list(file.keys())
            tensors: dict[str, np.ndarray] = {name: file.get_tensor(name) for name in names}
        about = About.model_validate_json(said.get("about", "{}"))
        _check(about, tensors)
        return _made(about, tensors)
    except ValidationError as error:
        first = error.errors()[0]
        said_wrong = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise RequestError(
            f"{path} is no map that this program understands: {said_wrong}"
        ) from None
    except (OSError, SafetensorError, TypeError, ValueError) as error:
        raise RequestError(f"{path} is damaged: {str(error).splitlines()[0]}") from None


def _precision(about: About) -> type[np.floating[Any]]:
    """Points are their own places and stay exact."""
    return np.float32 if len(about.shape) == 1 else np.float16


def _check(about: About, tensors: dict[str, np.ndarray]) -> None:
    """Exactly the tensors of a map, of one size, finite; ValueError says what is wrong."""
    is_image = len(about.shape) == 3
    needed = {"mean", "features", "clusters", "labels"}
    needed |= {"thumbnails", "pca_mean", "pca_axes"} if is_image else set[str]()
    allowed = needed | ({"components", "umap"} if is_image else set[str]())
    for name in sorted((needed - tensors.keys()) | (tensors.keys() - allowed)):
        raise ValueError(f"the tensor '{name}' is {'missing' if name in needed else 'foreign'}")
    if tensors["features"].ndim != 2:
        raise ValueError("the tensor 'features' has no rows")
    fitted, count = tensors["features"].shape
    real, dimension = tensors["clusters"].size, int(np.prod(about.shape))
    sizes: dict[str, tuple[tuple[int, ...], type[np.generic]]] = {
        "mean": ((dimension,), np.float32),
        "components": ((count, dimension), np.float32),
        "features": ((fitted, count), _precision(about)),
        "clusters": ((real,), np.int16),
        "labels": ((real,), np.int16),
        "thumbnails": ((tensors.get("thumbnails", np.empty(0)).size,), np.uint8),
        "pca_mean": ((count,), np.float32),
        "pca_axes": ((2, count), np.float32),
        "umap": ((fitted, 2), np.float32),
    }
    for name, tensor in tensors.items():
        shape, kind = sizes[name]
        if tensor.shape != shape or tensor.dtype != kind:
            raise ValueError(f"the tensor '{name}' is {tensor.dtype} {list(tensor.shape)}")
        if not np.isfinite(tensor).all():
            raise ValueError(f"the tensor '{name}' holds numbers that are not finite")
    if not 0 < real <= fitted or ("components" not in tensors and count != dimension):
        raise ValueError("its tensors do not fit together")
    if tensors["clusters"].min() < 0 or tensors["labels"].max() >= max(1, len(about.labels)):
        raise ValueError("a cluster or a label is out of range")


def _made(about: About, tensors: dict[str, np.ndarray]) -> DataMap:
    features = tensors["features"].astype(np.float32)
    clusters = tensors["clusters"].astype(np.int64)
    embeddings: dict[str, Embedding] = {}
    if len(about.shape) == 1:
        embeddings["plane"] = Plane()
    else:
        embeddings["pca"] = Linear(tensors["pca_mean"], tensors["pca_axes"])
    if "umap" in tensors:
        embeddings["umap"] = Neighbours(features, tensors["umap"])
    return DataMap(
        about,
        Space(about.shape, tensors["mean"], tensors.get("components")),
        features,
        clusters,
        tensors["labels"].astype(np.int64),
        _unpacked(tensors["thumbnails"], len(clusters)) if "thumbnails" in tensors else None,
        embeddings,
    )


def _packed(pictures: np.ndarray) -> np.ndarray:
    """Pictures below each other as one PNG, uint8 [byte]: a fraction of the raw numbers."""
    column = pictures.reshape(-1, *pictures.shape[2:])
    image = Image.fromarray(column[..., 0] if column.shape[2] == 1 else column)
    out = io.BytesIO()
    image.save(out, "PNG", optimize=True)
    return np.frombuffer(out.getvalue(), dtype=np.uint8)


def _unpacked(data: np.ndarray, count: int) -> np.ndarray:
    """uint8 [picture, height, width, channel] from `_packed`; ValueError if it is no picture."""
    try:
        with Image.open(io.BytesIO(data.tobytes()), formats=["PNG"]) as picture:
            if picture.width * picture.height > _MOST_PIXELS or picture.height % count:
                raise ValueError("its thumbnails do not fit its points")
            column = np.asarray(picture.convert("L" if picture.mode == "L" else "RGB"))
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"its thumbnails are no picture: {error}") from None
    return column.reshape(count, len(column) // count, column.shape[1], -1)
