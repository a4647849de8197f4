"""A branch against its parent, over the same seeds: image, distance, local quality.

A branch leaves its parent's path at a step; up to there both are the same bit for bit, so that
every difference comes from what was changed there.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from ddm_core.analysis import statistics
from ddm_core.analysis.quality import NEIGHBOURS
from ddm_core.intervals import Estimate

__all__ = ["MOST_KEPT", "Departure", "Side", "departures", "to_json"]

Array = np.ndarray
#: Samples whose own numbers are kept beside the means.
MOST_KEPT = 256


class Side(NamedTuple):
    """A branch or its parent, the same samples in the same order.

    Arguments:
        images: uint8 [sample, height, width, channel], or points [sample, axis].
        trace: with a coordinate sample of the same length.
        real_distance: to the nearest real data, in features [sample]; None where not measured.
    """

    images: Array
    trace: xr.Dataset
    real_distance: Array | None = None


class Departure(NamedTuple):
    """One number in which a branch differs from its parent.

    Arguments:
        difference: branch less parent, paired by seed; of the image, how far apart they are.
        branch, parent: of each sample [sample]; None for what only a pair has.
    """

    difference: Estimate
    branch: Array
    parent: Array | None


def departures(branch: Side, parent: Side, step: int) -> dict[str, Departure]:
    """The numbers of a branch, as far as both runs have what they need.

    Arguments:
        step: the first one that is the branch's own.

    Returns:
        image_difference: |a - b| / |b|, pixels from -1 to 1 (points: coordinates);
        pixel_difference: mean |a - b| over pixels, 0 to 255 (images only);
        cluster_distance: of the last predicted clean sample to its nearest cluster;
        selected_distance: mean over the branch's own steps;
        real_distance: mean distance to the nearest real data in the system's features.
    """
    out = _images(branch.images, parent.images)
    pairs: dict[str, tuple[Array | None, Array | None, str]] = {
        "cluster_distance": (
            _final_distance(branch.trace),
            _final_distance(parent.trace),
            "min_k |phi(x0_hat) - mu_k| at the last step",
        ),
        "selected_distance": (
            _selected_distance(branch.trace, step),
            _selected_distance(parent.trace, step),
            f"sum_k w_k |phi(x0_hat) - mu_k|, mean over steps from {step} on",
        ),
        "real_distance": (
            branch.real_distance,
            parent.real_distance,
            f"mean distance to the {NEIGHBOURS} nearest real images in the system's features",
        ),
    }
    for name, (mine, theirs, what) in pairs.items():
        if mine is not None and theirs is not None:
            found = statistics.paired(mine, theirs, what).difference
            out[name] = Departure(_told(found, f"{what}, branch - parent"), mine, theirs)
    return out


def _images(mine: Array, theirs: Array) -> dict[str, Departure]:
    points = mine.ndim == 2
    count = len(mine)
    a, b = (side.astype(float).reshape(count, -1) for side in (mine, theirs))
    away = np.abs(a - b).mean(axis=1)
    if not points:
        a, b = a / 127.5 - 1, b / 127.5 - 1
    length = np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        relative = np.linalg.norm(a - b, axis=1) / length
    what = "|a - b| / |b|, coordinates" if points else "|a - b| / |b|, pixels from -1 to 1"
    out = {"image_difference": Departure(_mean(relative, what), relative, None)}
    if not points:
        out["pixel_difference"] = Departure(
            _mean(away, "mean |a - b| over pixels, 0 to 255"), away, None
        )
    return out


def _final_distance(trace: xr.Dataset) -> Array | None:
    if "cluster_distance" not in trace:
        return None
    last = trace["cluster_distance"].isel(step=-1).transpose("sample", "expert")
    return last.values.astype(float).min(axis=1)


def _selected_distance(trace: xr.Dataset, step: int) -> Array | None:
    if "selected_distance" not in trace:
        return None
    own = trace["selected_distance"].isel(step=slice(step, None)).transpose("sample", "step")
    return own.values.astype(float).mean(axis=1)


def _mean(values: Array, what: str) -> Estimate:
    return _told(statistics.mean(values, what), what)


def _told(found: Estimate, what: str) -> Estimate:
    """One sample has a value and no interval; the method then says so."""
    if found.n != 1:
        return found
    return found._replace(method=f"{what}; one sample, which tells no interval")


def to_json(found: dict[str, Departure]) -> dict[str, dict[str, Any]]:
    """As a run's record keeps them, with the numbers of the first samples one by one."""
    return {
        name: {
            **one.difference.to_json(),
            "branch": _listed(one.branch),
            "parent": None if one.parent is None else _listed(one.parent),
        }
        for name, one in found.items()
    }


def _listed(values: Array) -> list[float | None]:
    return [float(v) if np.isfinite(v) else None for v in values[:MOST_KEPT]]
