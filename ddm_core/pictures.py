"""Pictures of a run as PNG bytes: a grid of samples, sheets of every step."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

__all__ = ["density", "grid", "png", "sheet"]

_DENSITY_PIXELS = 256
_MOST_TILE_PIXELS = 64
_SMALL, _LINE = 16, 96  # pixels of an image that gets a line around it, and the grey of that


def grid(images: np.ndarray, most: int = 64) -> np.ndarray:
    """The first images [sample, height, width, channel] side by side, nearly square, as one.

    A grey line parts small images, which would run into each other.
    Points float32 [sample, 2] become a picture of their density.
    """
    if images.ndim == 2:
        return density(images)
    some = images[:most]
    columns = math.ceil(math.sqrt(len(some)))
    rows = math.ceil(len(some) / columns)
    height, width, channels = some.shape[1:]
    tiles = np.zeros((rows * columns, height, width, channels), dtype=np.uint8)
    tiles[: len(some)] = some
    if max(height, width) > _SMALL:
        return _tiled(tiles.reshape(rows, columns, height, width, channels))
    tiles = np.pad(tiles, ((0, 0), (0, 1), (0, 1), (0, 0)), constant_values=_LINE)
    return _tiled(tiles.reshape(rows, columns, height + 1, width + 1, channels))[:-1, :-1]


def sheet(steps: np.ndarray) -> np.ndarray:
    """Pictures [step, sample, height, width, channel] as one: a row per sample, a column per step.

    Large pictures are reduced, since a sheet is a preview; the trace keeps them whole.
    """
    stride = math.ceil(max(steps.shape[2:4]) / _MOST_TILE_PIXELS)
    return _tiled(steps[:, :, ::stride, ::stride].swapaxes(0, 1))


def _tiled(tiles: np.ndarray) -> np.ndarray:
    """[row, column, height, width, channel] -> [row * height, column * width, channel]."""
    rows, columns, height, width, channels = tiles.shape
    return tiles.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)


def density(points: np.ndarray) -> np.ndarray:
    """Where points [sample, 2] are: uint8 [256, 256, 1], bright on black, logarithmic."""
    finite = points[np.isfinite(points).all(axis=1)]
    reach = float(np.quantile(np.abs(finite), 0.995)) * 1.1 if len(finite) else 1.0
    edges = np.linspace(-max(reach, 1e-6), max(reach, 1e-6), _DENSITY_PIXELS + 1)
    counts, _, _ = np.histogram2d(-finite[:, 1], finite[:, 0], bins=(edges, edges))
    shade = np.log1p(counts) / max(float(np.log1p(counts.max())), 1e-12)
    return (255 * shade).astype(np.uint8)[:, :, None]


def png(picture: np.ndarray, texts: dict[str, str] | None = None) -> bytes:
    """A picture [height, width, channel], grey or RGB, as PNG; texts become its text chunks."""
    info = PngInfo()
    for name, text in (texts or {}).items():
        info.add_itxt(name, text)
    image = Image.fromarray(picture[:, :, 0] if picture.shape[2] == 1 else picture[:, :, :3])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()
