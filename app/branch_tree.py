"""A run, its branches and theirs as a tree: who leaves whom where, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import xarray as xr

from app.figures.look import expert_colour
from app.pictures import data_url, packed, sprite, thinned
from ddm_core.branching import change_in_words, forced_expert
from ddm_core.records import RunRecord

__all__ = ["Node", "difference_picture", "family", "number_of", "table", "tree_data"]

#: Lanes that are drawn; of more, the newest.
MOST_LANES = 10
_FRAMES = 100
_BRANCH, _PARENT = np.array((213, 94, 0)), np.array((0, 114, 178))
#: Of a leaf, in this order: name in the record, and how it is called.
NUMBERS = (
    ("image_difference", "image"),
    ("cluster_distance", "to its cluster"),
    ("real_distance", "to real data"),
)


class Node(NamedTuple):
    """One run of the tree.

    Arguments:
        parent: place of its parent in the list of nodes, or None for the root.
        start: the first step that is its own.
        words: what it changes.
        missing: the run that it was made from is gone.
    """

    record: RunRecord
    parent: int | None
    start: int
    words: str
    missing: bool = False


def family(records: Sequence[RunRecord], id: str, seed: int) -> list[Node]:
    """The root above a run and all that branches from it and holds the sample, depth first.

    Arguments:
        records: of the store.
        id: of any run of the family.
    """
    by_id = {one.id: one for one in records if one.status == "done"}
    children: dict[str, list[RunRecord]] = {}
    for one in sorted(by_id.values(), key=lambda one: (one.created, one.id)):
        if one.parent and seed in one.config.seeds:
            children.setdefault(one.parent, []).append(one)
    root, seen = by_id[id], {id}
    # A record from elsewhere may name anybody as its parent, itself too.
    while root.parent in by_id and root.parent not in seen:
        root = by_id[root.parent]
        seen.add(root.id)
    nodes: list[Node] = []
    placed: set[str] = set()

    def visit(record: RunRecord, parent: int | None) -> None:
        placed.add(record.id)
        start = 0 if parent is None or record.config.branch is None else record.config.branch.step
        gone = parent is None and record.config.branch is not None
        nodes.append(Node(record, parent, start, change_in_words(record.config), gone))
        here = len(nodes) - 1
        for child in children.get(record.id, []):
            if child.id not in placed:
                visit(child, here)

    visit(root, None)
    return _newest(nodes, id)


def _newest(nodes: list[Node], id: str) -> list[Node]:
    """At most so many lanes: the line of the run in focus, then the newest others."""
    if len(nodes) <= MOST_LANES:
        return nodes
    places = {node.record.id: place for place, node in enumerate(nodes)}
    kept: set[int] = set()

    def keep(place: int | None) -> None:
        line: list[int] = []
        while place is not None and place not in kept:
            line.append(place)
            place = nodes[place].parent
        if len(kept) + len(line) <= MOST_LANES:
            kept.update(line)

    keep(places.get(id, 0))
    for place in sorted(range(len(nodes)), key=lambda p: nodes[p].record.created, reverse=True):
        keep(place)
    order = {place: new for new, place in enumerate(sorted(kept))}
    return [
        nodes[place]._replace(parent=order.get(parent) if parent is not None else None)
        for place in order
        for parent in (nodes[place].parent,)
    ]


def number_of(record: RunRecord, name: str, seed: int) -> float | None:
    """A number of one sample of a branch against its parent; None where it was not kept."""
    one = record.departure.get(name, {})
    place = seed - record.config.seed
    mine, theirs = _at(one.get("branch"), place), _at(one.get("parent"), place)
    if mine is None or name in ("image_difference", "pixel_difference"):
        return mine
    return None if theirs is None else mine - theirs


def _at(values: Any, place: int) -> float | None:
    if not isinstance(values, list) or not 0 <= place < len(values):
        return None
    value = values[place]
    return float(value) if isinstance(value, int | float) and np.isfinite(value) else None


def tree_data(
    nodes: Sequence[Node],
    traces: Mapping[str, xr.Dataset],
    images: Mapping[str, np.ndarray],
    seed: int,
    *,
    centres: np.ndarray | None = None,
) -> dict[str, Any]:
    """What the browser draws.

    Arguments:
        traces: by run; with x0_hat of the sample, or state for points.
        images: the finished sample by run: uint8 [height, width, channel], or a point [2].
        centres: of the clusters, for points.
    """
    steps = nodes[0].record.config.steps
    frames = thinned(steps, _FRAMES)
    points = images[nodes[0].record.id].ndim == 1
    lanes: list[dict[str, Any]] = []
    for node in nodes:
        id = node.record.id
        final = images[id]
        lane: dict[str, Any] = {
            "id": id,
            "parent": node.parent,
            "start": node.start,
            "words": node.words,
            "gone": node.missing,
            "colour": _colour(node.record),
            "numbers": _numbers(node, seed, points=points),
        }
        if points:
            lane["path"] = packed(_path(traces[id], seed, final), np.float32)
        else:
            lane["sprite"] = _strip(traces[id], seed, frames)
            lane["final"] = data_url(final)
            if node.parent is not None:
                before = images[nodes[node.parent].record.id]
                lane["difference"] = data_url(difference_picture(final, before))
        lanes.append(lane)
    data: dict[str, Any] = {
        "points": points,
        "steps": steps,
        "frames": frames.tolist(),
        "lanes": lanes,
        "seed": seed,
        "alt": f"{len(nodes) - 1} branches of the path of sample {seed}",
    }
    if points:
        data["centres"] = [] if centres is None else centres.tolist()
        data["colours"] = [expert_colour(k) for k in range(len(data["centres"]))]
    else:
        shape = images[nodes[0].record.id].shape
        data["tile"] = [int(shape[0]), int(shape[1])]
    return data


def _numbers(node: Node, seed: int, *, points: bool) -> list[list[str]]:
    if node.parent is None:
        return []
    out: list[list[str]] = []
    for name, says in NUMBERS:
        value = number_of(node.record, name, seed)
        if value is not None:
            signed = "" if name == "image_difference" else "+"
            if points and says == "image":
                says = "place"
            out.append([says, f"{value:{signed}.2f}".replace("-", "−")])
    return out


def _colour(record: RunRecord) -> str:
    """The colour of the expert that was forced; "" for any other change."""
    expert = forced_expert(record.router)
    return "" if expert is None or record.config.branch is None else expert_colour(expert)


def _strip(trace: xr.Dataset, seed: int, frames: np.ndarray) -> str:
    if "x0_hat" not in trace or seed not in trace["shown"].values:
        return ""
    one = trace["x0_hat"].sel(shown=seed).isel(step=frames)
    return data_url(sprite(one.transpose("step", "height", "width", "channel").values[None]))


def _path(trace: xr.Dataset, seed: int, final: np.ndarray) -> np.ndarray:
    """Every state and the finished sample [step + 1, 2]."""
    end = np.asarray(final, dtype=float)[None, :2]
    if "state" not in trace:
        return end
    states = trace["state"].sel(sample=seed).transpose("step", "coordinate").values[:, :2]
    return np.concatenate((states, end))


def difference_picture(branch: np.ndarray, parent: np.ndarray) -> np.ndarray:
    """branch - parent of uint8 images as a picture: orange where the branch is brighter.

    White is no difference; the full colour is all 255 grey levels, of the mean over channels.
    """
    away = (branch.astype(float) - parent.astype(float)).mean(axis=-1, keepdims=True) / 255
    ink = np.where(away > 0, _BRANCH, _PARENT)
    share = np.abs(away)
    return np.round(255 * (1 - share) + ink * share).astype(np.uint8)


def table(nodes: Sequence[Node], seed: int) -> pd.DataFrame:
    """The tree as rows: what was changed where, and every number with n and interval."""
    rows: list[dict[str, Any]] = []
    for node in nodes:
        record = node.record
        row: dict[str, Any] = {
            "run": record.id,
            "parent": record.parent or "",
            "from step": node.start,
            "change": node.words,
            "sample": seed,
        }
        for name, one in record.departure.items():
            row[f"{name} of the sample"] = number_of(record, name, seed)
            row |= {
                f"{name} {part}".strip(): one.get(key)
                for part, key in (("mean", "value"), ("low", "low"), ("high", "high"), ("n", "n"))
            }
        rows.append(row)
    return pd.DataFrame(rows)
