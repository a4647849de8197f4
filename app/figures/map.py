"""The data as a map: a point per real image, and the ways of samples through it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from app.figures.look import Look, base_figure, expert_colour, plain
from app.pictures import grid
from ddm_core.analysis.data_map import DataMap
from ddm_core.analysis.embedding import distances
from ddm_core.errors import RequestError

__all__ = [
    "MapInfo",
    "Way",
    "contact_sheet",
    "ends_of",
    "figure",
    "map_info",
    "outlines_of",
    "points_table",
    "real_rows",
    "seeds_of",
    "table",
    "way_of",
    "within",
]

_MOST_PICTURES = 60
_MOST_SEEDS = 200


class Way(NamedTuple):
    """Where one sample's prediction lies at every step.

    Arguments:
        seed: of the sample.
        places: [step, 2]
        expert: with the largest weight, int [step]; -1 where no expert was chosen.
        distance: to the nearest fitted point, in the features, [step].
        far: whether that is more than nearly all real points are from others, bool [step].
        by_expert: where each expert's own prediction lies, [step, expert, 2], or None.
    """

    seed: int
    places: np.ndarray
    expert: np.ndarray
    distance: np.ndarray
    far: np.ndarray
    by_expert: np.ndarray | None


class MapInfo(NamedTuple):
    """What is drawn.

    Arguments:
        places: of the real points, [real, 2].
        clusters, labels: of the real points, int [real].
        names: of the labels.
        ways: the samples that are followed.
        t: [step]; empty without samples.
    """

    places: np.ndarray
    clusters: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]
    ways: tuple[Way, ...]
    t: np.ndarray


def seeds_of(trace: xr.Dataset) -> list[int]:
    """Seeds of the samples whose way can be drawn; none where the run kept no pictures."""
    if "x0_hat" in trace:
        return trace["shown"].values.tolist()
    return trace["sample"].values.tolist()[:_MOST_SEEDS] if "state" in trace else []


def map_info(data_map: DataMap, embedding: str, ways: Sequence[Way], t: np.ndarray) -> MapInfo:
    """The real points as an embedding of the map has them, and ways in the same embedding."""
    places = data_map.embeddings[embedding].transform(data_map.real)
    names = data_map.about.labels
    return MapInfo(places, data_map.clusters, data_map.labels, names, tuple(ways), t)


def way_of(data_map: DataMap, embedding: str, trace: xr.Dataset, seed: int) -> Way:
    """The way of one sample: of x0_hat, or of x_t where samples are points.

    Raises:
        RequestError: the run has no pictures of this sample, or its pictures have no place here.
    """
    if seed not in seeds_of(trace):
        raise RequestError(f"the run kept no pictures of sample {seed}")
    place = data_map.embeddings[embedding].transform
    by_expert: np.ndarray | None = None
    if "x0_hat" in trace:
        dims = ("step", "height", "width", "channel")
        pictures = trace["x0_hat"].sel(shown=seed).transpose(*dims).values
        if "x0_hat_expert" in trace:
            each = trace["x0_hat_expert"].sel(shown=seed)
            each = each.transpose("step", "expert", *dims[1:]).values
            features = data_map.space.features(each.reshape(-1, *each.shape[2:]))
            by_expert = place(features).reshape(*each.shape[:2], 2)
    else:
        pictures = trace["state"].sel(sample=seed).transpose("step", "coordinate").values
    features = data_map.space.features(pictures)
    expert = np.full(len(features), -1)
    if "weights" in trace and trace.sizes.get("expert", 1) > 1:
        weights = trace["weights"].sel(sample=seed).transpose("step", "expert").values
        alone = (weights == weights.max(axis=1, keepdims=True)).sum(axis=1) == 1
        expert = np.where(alone, weights.argmax(axis=1), -1)
    distance = distances(features, data_map.features)
    far = distance > data_map.about.reach
    return Way(seed, place(features), expert, distance, far, by_expert)


def figure(info: MapInfo, look: Look, *, height: int = 620) -> go.Figure:
    """A faint dot per real point in its cluster's colour; ways as lines in the experts' colours.

    The first traces are the clusters, in their order: `real_rows` relies on it. Nothing in it
    depends on where the cursor is or what is selected: Streamlit forgets a selection as soon as a
    figure changes.
    """
    chart = base_figure(look, height=height)
    for k in range(int(info.clusters.max()) + 1):
        mine = info.clusters == k
        chart.add_scatter(
            x=info.places[mine, 0],
            y=info.places[mine, 1],
            mode="markers",
            name=f"{k}",
            legendgroup=f"cluster {k}",
            marker={"size": 5, "color": expert_colour(k), "opacity": 0.5 if info.ways else 0.75},
            unselected={"marker": {"opacity": 0.12}},
            text=_words(info, mine),
            hovertemplate=f"cluster {k}%{{text}}<extra></extra>",
        )
    for way in info.ways:
        _add_way(chart, info, way, look)
    chart.update_layout(
        hovermode="closest",
        dragmode="lasso",
        margin={"l": 0, "r": 0, "t": 56, "b": 0},
        # Beside the entries a title would push the last of them out.
        legend={
            "title": {"text": "cluster", "side": "top"},
            "itemsizing": "constant",
            "entrywidth": 18,
        },
        newselection={"line": {"color": look.ink, "width": 1.5}},
        # Upright, as a legend of many clusters needs the whole line above.
        modebar={
            "orientation": "v",
            "bgcolor": "rgba(0,0,0,0)",
            "color": look.muted,
            "activecolor": look.ink,
        },
        uirevision="map",
    )
    chart.update_xaxes(visible=False)
    chart.update_yaxes(visible=False, scaleanchor="x")
    return chart


def _words(info: MapInfo, mine: np.ndarray) -> list[str]:
    """What a dot says beside its cluster."""
    return [f", label {plain(info.names[k], 20)}" if k >= 0 else "" for k in info.labels[mine]]


def _add_way(chart: go.Figure, info: MapInfo, way: Way, look: Look) -> None:
    """A casing in the colour of the page, then a line per expert, then a dot per step."""
    quiet = {"mode": "lines", "hoverinfo": "skip", "showlegend": False}
    x, y = way.places.T
    chart.add_scatter(x=x, y=y, line={"width": 4.5, "color": look.paper}, **quiet)
    for k in np.unique(way.expert[:-1]):
        # The line from a step to the next belongs to the expert that was asked at the first.
        starts = np.flatnonzero(way.expert[:-1] == k)
        gap = np.full((len(starts), 2), np.nan)
        line = np.stack((way.places[starts], way.places[starts + 1], gap), axis=1).reshape(-1, 2)
        style = {"width": 2, "color": _colour(int(k), look)}
        chart.add_scatter(x=line[:, 0], y=line[:, 1], line=style, **quiet)
    colours = [_colour(int(k), look) for k in way.expert]
    filled = [look.paper if far else one for far, one in zip(way.far, colours, strict=True)]
    who = [f"expert {k}" if k >= 0 else "no single expert" for k in way.expert]
    chart.add_scatter(
        x=x,
        y=y,
        mode="markers",
        showlegend=False,
        marker={
            "size": [5.0] * (len(x) - 1) + [11.0],
            "color": filled,
            "line": {"color": colours, "width": 1.4},
        },
        unselected={"marker": {"opacity": 1}},
        text=[
            f"sample {way.seed}, step {step}, t = {t:.3g}<br>{one}"
            + ("<br>far from all data" if far else "")
            for step, (t, one, far) in enumerate(zip(info.t, who, way.far, strict=True))
        ],
        hovertemplate="%{text}<extra></extra>",
    )
    chart.add_annotation(
        x=x[-1],
        y=y[-1],
        text=f"{way.seed}",
        showarrow=False,
        xshift=15,
        yshift=12,
        font={"size": 12, "color": look.ink},
        bgcolor=look.paper,
        opacity=0.85,
        borderpad=1,
    )


def _colour(k: int, look: Look) -> str:
    return expert_colour(k) if k >= 0 else look.ink


def ends_of(data_map: DataMap, embedding: str, images: np.ndarray) -> np.ndarray:
    """Where finished samples lie, [sample, 2].

    Arguments:
        images: uint8 [sample, height, width, channel], or points float [sample, 2].

    Raises:
        RequestError: the samples have no place on this map.
    """
    return data_map.embeddings[embedding].transform(data_map.space.features(images))


def within(places: np.ndarray, outlines: Sequence[np.ndarray]) -> np.ndarray:
    """Which places lie inside one of the outlines at least, bool [place].

    Arguments:
        places: [place, 2]
        outlines: polygons [corner, 2], closed by their last side; inside by the even-odd rule.
    """
    inside = np.zeros(len(places), dtype=bool)
    x, y = places[:, 0:1], places[:, 1:2]
    for outline in outlines:
        x0, y0 = outline[:, 0], outline[:, 1]
        x1, y1 = np.roll(x0, -1), np.roll(y0, -1)
        with np.errstate(divide="ignore", invalid="ignore"):
            crossed = (y0 > y) != (y1 > y)
            right = x < (x1 - x0) * (y - y0) / (y1 - y0) + x0
        inside |= (crossed & right).sum(axis=1) % 2 == 1
    return inside


def outlines_of(selected: Mapping[str, object]) -> list[np.ndarray]:
    """The polygons of a selection as Streamlit tells it: lassos, and boxes by their corners."""
    found: list[np.ndarray] = []
    for name in ("lasso", "box"):
        shapes = selected.get(name)
        for shape in shapes if isinstance(shapes, list) else []:
            corners = np.array([shape["x"], shape["y"]], dtype=np.float64).T
            if name == "box":
                (left, bottom), (right, top) = corners[0], corners[-1]
                corners = np.array([[left, bottom], [right, bottom], [right, top], [left, top]])
            if len(corners) > 2 and np.isfinite(corners).all():
                found.append(corners)
    return found


def real_rows(info: MapInfo, points: Sequence[dict[str, object]]) -> list[int]:
    """Which real points a selection of the figure holds; samples on their way are left out.

    Arguments:
        points: each with curve_number and point_index, as Plotly counts them.
    """
    members = [np.flatnonzero(info.clusters == k) for k in range(int(info.clusters.max()) + 1)]
    chosen: set[int] = set()
    for point in points:
        curve, index = point.get("curve_number"), point.get("point_index")
        if isinstance(curve, int) and isinstance(index, int) and 0 <= curve < len(members):
            chosen |= {int(members[curve][index])} if 0 <= index < len(members[curve]) else set()
    return sorted(chosen, key=lambda row: (info.clusters[row], row))


def contact_sheet(data_map: DataMap, rows: Sequence[int]) -> np.ndarray:
    """Pictures of real points, each over a bar in its cluster's colour; 60 at most, evenly taken.

    Returns:
        uint8 [height, width, 4]
    """
    assert data_map.thumbnails is not None
    some = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, _MOST_PICTURES).astype(int))]
    tiles = data_map.thumbnails[some]
    scale = max(1, 56 // tiles.shape[2])
    tiles = tiles.repeat(scale, axis=1).repeat(scale, axis=2)
    if tiles.shape[3] == 1:
        tiles = tiles.repeat(3, axis=3)
    count, height, width = tiles.shape[:3]
    whole = np.zeros((count, height + 10, width + 6, 4), dtype=np.uint8)
    whole[:, :height, :width, :3] = tiles
    for tile, k in zip(whole, data_map.clusters[some], strict=True):
        tile[height : height + 4, :width, :3] = _rgb(expert_colour(int(k)))
    whole[:, : height + 4, :width, 3] = 255
    columns = min(count, 10)
    lines = grid(whole, columns=columns)
    # Places of the last line that nobody has are white in a grid, and nothing here.
    empty = -count % columns
    if empty:
        lines[-(height + 10) :, -empty * (width + 6) :] = 0
    return lines


def _rgb(colour: str) -> list[int]:
    return [int(colour[i : i + 2], 16) for i in (1, 3, 5)]


def table(info: MapInfo) -> pd.DataFrame:
    """The ways, one row per sample and step."""
    parts = [
        pd.DataFrame(
            {
                "sample": way.seed,
                "step": np.arange(len(info.t)),
                "t": info.t,
                "x": way.places[:, 0],
                "y": way.places[:, 1],
                "expert": way.expert,
                "distance": way.distance,
                "far": way.far,
            }
        )
        for way in info.ways
    ]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def points_table(info: MapInfo, rows: Sequence[int]) -> pd.DataFrame:
    """Real points, one row each."""
    some = np.array(rows, dtype=int)
    named = [info.names[k] if 0 <= k < len(info.names) else "" for k in info.labels[some]]
    return pd.DataFrame(
        {
            "point": some,
            "cluster": info.clusters[some],
            "label": named,
            "x": info.places[some, 0],
            "y": info.places[some, 1],
        }
    )
