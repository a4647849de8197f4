"""Pictures that change with the noise level: all in one figure, a slider walks through them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.audit_file import Accuracy, Pixels
from app.figures.look import Look, base_figure, scale

__all__ = ["FramesInfo", "figure", "matrix_info", "pixels_info", "table"]

_MOST_WRITTEN = 12  # cells a side whose numbers are written into them


class FramesInfo(NamedTuple):
    """A picture per noise level, on one scale.

    Arguments:
        times: noise levels.
        cells: [time, row, column]; nan where nothing was measured.
        rows, columns: names of the axes.
        square: whether rows and columns are the same things, and the diagonal means something.
        counts: behind each column, or ().
        value: what a cell is.
    """

    times: tuple[float, ...]
    cells: np.ndarray
    rows: str
    columns: str
    square: bool
    counts: tuple[int, ...]
    value: str


def matrix_info(accuracy: Accuracy) -> FramesInfo:
    """Loss of every expert on every cluster, relative to the cluster's own expert.

    The losses themselves differ far more between noise levels and clusters than between experts;
    divided by the own expert's, 1 is the diagonal and what lies above is what routing must avoid.
    """
    cells = _array(accuracy.matrix)
    own = np.einsum("tkk->tk", cells)[:, None, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        cells = cells / own
    return FramesInfo(
        tuple(t for t in accuracy.times if t is not None),
        cells,
        "expert",
        "cluster of the image",
        True,
        accuracy.clusters_n,
        "loss / own expert's",
    )


def pixels_info(pixels: Pixels) -> FramesInfo:
    """Where in the image the experts' predictions of it differ."""
    return FramesInfo(
        tuple(t for t in pixels.times if t is not None),
        _array(pixels.maps),
        "row",
        "column",
        False,
        (),
        "std over experts of x0_hat",
    )


def _array(nested: object) -> np.ndarray:
    return np.array(nested, dtype=float)  # None becomes nan


def figure(info: FramesInfo, look: Look) -> go.Figure:
    """A heatmap with a slider over t; opens in the middle, where experts and data differ most."""
    most = float(np.nanmax(info.cells)) if np.isfinite(info.cells).any() else 1.0
    least = 0.0 if not info.square else float(min(1.0, np.nanmin(info.cells)))
    if info.square:
        most = min(most, 4.0)  # a single hopeless expert must not hide all others
    start = len(info.times) // 2
    maps = [_map(info, place, least, most, look) for place in range(len(info.times))]
    frames = [go.Frame(data=[one], name=f"{t:g}") for one, t in zip(maps, info.times, strict=True)]
    chart = base_figure(look, height=430)
    chart.add_trace(maps[start])
    chart.frames = frames
    steps = [
        {
            "label": f"{t:.2f}",
            "method": "animate",
            "args": [[f"{t:g}"], {"mode": "immediate", "frame": {"duration": 0, "redraw": True}}],
        }
        for t in info.times
    ]
    chart.update_layout(
        sliders=[
            {
                "active": start,
                "steps": steps,
                "currentvalue": {"prefix": "t = ", "font": {"size": 12, "color": look.muted}},
                "font": {"size": 11, "color": look.muted},
                "pad": {"t": 34, "b": 6},
                "bgcolor": look.grid,
                "bordercolor": look.grid,
            }
        ],
        margin={"t": 8, "l": 8, "r": 8, "b": 8},
    )
    count = info.cells.shape[2]
    names = [f"{k}" for k in range(count)]
    if info.square:
        below = [f"{k}<br>n = {n:,}" for k, n in zip(names, info.counts, strict=False)]
        chart.update_xaxes(title_text=info.columns, tickvals=list(range(count)))
        if len(below) == count and count <= _MOST_WRITTEN:
            chart.update_xaxes(ticktext=below)
        chart.update_yaxes(title_text=info.rows, autorange="reversed", dtick=1)
    else:
        chart.update_xaxes(visible=False)
        chart.update_yaxes(visible=False, autorange="reversed", scaleanchor="x")
    return chart


def _map(info: FramesInfo, place: int, least: float, most: float, look: Look) -> go.Heatmap:
    cells = info.cells[place]
    written = info.square and cells.shape[0] <= _MOST_WRITTEN
    return go.Heatmap(
        z=cells,
        zmin=least,
        zmax=most,
        colorscale=scale(look),
        xgap=2 if info.square else 0,
        ygap=2 if info.square else 0,
        texttemplate="%{z:.2f}" if written else None,
        textfont={"size": 11},
        hovertemplate=f"{info.rows} %{{y}}, {info.columns} %{{x}}: %{{z:.3g}}<extra></extra>",
        colorbar={
            "title": {"text": info.value, "side": "right", "font": {"size": 12}},
            "thickness": 10,
            "outlinewidth": 0,
        },
    )


def table(info: FramesInfo) -> pd.DataFrame:
    """What is drawn, one row per noise level and cell."""
    time, row, column = (axis.ravel() for axis in np.indices(info.cells.shape))
    return pd.DataFrame(
        {
            "t": np.array(info.times)[time],
            info.rows: row,
            info.columns: column,
            info.value: info.cells.ravel(),
        }
    )
