"""Where the names of points go, so that they cover each other and the points least."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["places"]

Box = tuple[float, float, float, float]
#: What points and whiskers have of a narrow page, roughly; on a wide one all are farther apart.
_PIXELS = np.array((560.0, 360.0))
#: Square pixels of another name or point that a name may cover; more, and neither can be read.
_COVERED = 60.0


def places(
    spots: np.ndarray, names: Sequence[str], ends: np.ndarray | None = None
) -> dict[int, str]:
    """The side of its point on which each name goes, as Plotly writes it, by place.

    A name for which there is no room is left out: its point says it to who points at it.

    Arguments:
        spots: of the points [point, 2].
        names: [point]; what has none is only kept clear of.
        ends: of the whiskers [point, low or high, 2], which are better not covered; nan: none.
    """
    chosen: dict[int, str] = {}
    if not len(spots):
        return chosen
    # Whiskers stretch the axes, too.
    drawn = spots if ends is None else np.vstack([spots, ends.reshape(-1, 2)])
    least = np.nanmin(drawn, axis=0)
    reach = np.nanmax(drawn, axis=0) - least
    scale = _PIXELS / np.where(reach > 0, reach, 1.0)
    spots = (spots - least) * scale
    points: list[Box] = [(x - 8, y - 9, x + 8, y + 9) for x, y in spots]
    whiskers = [] if ends is None else _whiskers(spots, (ends - least) * scale)
    written: list[Box] = []
    for i, name in enumerate(names):
        if not name:
            continue
        x, y = spots[i]
        width = 7.0 * len(name) + 12
        boxes = {
            "middle right": (x + 6, y - 9, x + 6 + width, y + 9),
            "top center": (x - width / 2, y + 9, x + width / 2, y + 25),
            "bottom center": (x - width / 2, y - 25, x + width / 2, y - 9),
            "middle left": (x - 6 - width, y - 9, x - 6, y + 9),
            "top right": (x + 4, y + 9, x + 4 + width, y + 25),
            "bottom right": (x + 4, y - 25, x + 4 + width, y - 9),
            "top left": (x - 4 - width, y + 9, x - 4, y + 25),
            "bottom left": (x - 4 - width, y - 25, x - 4, y - 9),
        }
        solid = [*points[:i], *points[i + 1 :], *written]
        best = min(boxes, key=lambda side: _cost(boxes[side], [*solid, *whiskers]))
        if _overlap(boxes[best], solid) > _COVERED:
            continue
        chosen[i] = best
        written.append(boxes[best])
    return chosen


def _whiskers(spots: np.ndarray, ends: np.ndarray) -> list[Box]:
    """Whiskers as thin boxes."""
    ends = np.where(np.isfinite(ends), ends, spots[:, None, :])
    boxes: list[Box] = []
    for (x, y), (low, high) in zip(spots, ends, strict=True):
        boxes.append((low[0], y - 1, high[0], y + 1))
        boxes.append((x - 1, low[1], x + 1, high[1]))
    return boxes


def _cost(box: Box, others: Sequence[Box]) -> float:
    """How much of other things a label covers, and how far it leaves the plot."""
    return _overlap(box, others) + 40 * (
        max(0.0, -box[0] - 30) + max(0.0, box[2] - _PIXELS[0] - 40)
    )


def _overlap(box: Box, others: Sequence[Box]) -> float:
    return sum(
        max(0.0, min(box[2], one[2]) - max(box[0], one[0]))
        * max(0.0, min(box[3], one[3]) - max(box[1], one[1]))
        for one in others
    )
