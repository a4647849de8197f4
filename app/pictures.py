"""Arrays as pictures: sprites that a browser plays without asking again, strips, montages."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from app.figures.look import expert_colour

__all__ = ["data_url", "grid", "icon", "packed", "png", "sprite", "strip", "thinned"]

#: Frames that a sprite holds at most: more are not told apart while playing.
MOST_FRAMES = 100


def thinned(count: int, most: int = MOST_FRAMES) -> np.ndarray:
    """Which of count steps are kept when at most `most` are: evenly, first and last always."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def png(pixels: np.ndarray) -> bytes:
    """PNG of uint8 [height, width, channel] with 1 or 3 channels, or [height, width]."""
    image = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(image)).save(out, "PNG", compress_level=3)
    return out.getvalue()


def sprite(frames: np.ndarray) -> np.ndarray:
    """Frames [row, column, height, width, channel] as one picture, rows below each other."""
    rows, columns, height, width, channels = frames.shape
    return frames.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)


def grid(images: np.ndarray, columns: int | None = None) -> np.ndarray:
    """Images [image, height, width, channel] in a near-square grid, empty places white."""
    count = len(images)
    columns = columns or max(1, int(np.ceil(np.sqrt(count))))
    lines = -(-count // columns)
    full = np.full((lines * columns, *images.shape[1:]), 255, dtype=np.uint8)
    full[:count] = images
    return sprite(full.reshape(lines, columns, *images.shape[1:]))


def strip(examples: np.ndarray, each: int = 9, pixels: int = 132) -> np.ndarray:
    """A block of example images per cluster, side by side, each under its expert's colour.

    Arguments:
        examples: uint8 [expert, item, channel, height, width].
        each: images per block.
        pixels: width of a block.
    """
    blocks: list[np.ndarray] = []
    for k, items in enumerate(examples):
        padded = np.pad(items[:each], ((0, 0), (0, 0), (0, 1), (0, 1)))
        block = grid(np.moveaxis(padded, 1, -1), columns=int(np.sqrt(each)))
        if block.shape[2] == 1:
            block = np.repeat(block, 3, axis=2)
        scale = max(1, pixels // block.shape[1])
        block = block.repeat(scale, axis=0).repeat(scale, axis=1)
        colour = [int(expert_colour(k)[i : i + 2], 16) for i in (1, 3, 5)]
        bar = np.broadcast_to(
            np.array(colour, dtype=np.uint8), (max(4, len(block) // 22), block.shape[1], 3)
        )
        blocks.append(np.concatenate((bar, block)))
    gap = 10
    height, width = blocks[0].shape[:2]
    whole = np.zeros((height, len(blocks) * (width + gap) - gap, 4), dtype=np.uint8)
    for k, block in enumerate(blocks):
        left = k * (width + gap)
        whole[:, left : left + width, :3] = block
        whole[:, left : left + width, 3] = 255
    return whole


def data_url(pixels: np.ndarray) -> str:
    """A picture as text that an <img> reads."""
    return "data:image/png;base64," + base64.b64encode(png(pixels)).decode()


def packed(values: np.ndarray | Sequence[float], kind: type[np.generic]) -> str:
    """Numbers as base64 of little-endian bytes: a tenth of JSON, read by a typed array."""
    little = np.dtype(kind).newbyteorder("<")
    return base64.b64encode(np.ascontiguousarray(values, dtype=little).tobytes()).decode()


def icon(size: int = 64) -> Image.Image:
    """The page's icon: six experts on a ring. Drawn here, as a named icon would be fetched."""
    picture = Image.new("RGBA", (4 * size, 4 * size))
    pen = ImageDraw.Draw(picture)
    for k in range(6):
        angle = 2 * np.pi * k / 6
        x, y = 2 * size + 1.3 * size * np.array((np.cos(angle), np.sin(angle)))
        pen.ellipse(
            (x - 0.5 * size, y - 0.5 * size, x + 0.5 * size, y + 0.5 * size), expert_colour(k)
        )
    return picture.resize((size, size), Image.Resampling.LANCZOS)
