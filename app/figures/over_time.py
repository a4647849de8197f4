"""Pictures that change with the noise level: all in one figure, a slider walks through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.audits.evidence import Accuracy, Pixels
from app.figures.look import Look, base_figure, scale

__all__ = ["FramesInfo", "figure", "matrix_info", "own_and_others", "pixels_info", "table"]

_MOST_WRITTEN = 12  # cells a side whose numbers are written into them
_MOST_RATIO, _LEAST_RATIO = 256.0, 1.5  # the colours of the matrix end between them
_FINE = (0.25, 0.5, 0.75, 1, 1.5, 2, 3, 4)
_COARSE = (1 / 64, 1 / 16, 0.25, 1, 4, 16, 64, 256)
_KNOB = "#2B7DBD"
#: Below 1 a stranger beats the cluster's own expert: another hue, as it should not be.
_STRANGER_LIGHT = ("#9A3F00", "#D55E00", "#F3C79B")
_STRANGER_DARK = ("#FBC98A", "#DB8C41", "#5A3416")


class FramesInfo(NamedTuple):
    """A picture per noise level, from noise to data.

    Arguments:
        times: noise levels, falling.
        cells: [time, row, column]; nan where nothing was measured.
        losses: the losses behind the cells of a matrix, same shape; None for a map of pixels.
        rows, columns: names of the axes.
        counts: items behind each column, or ().
        value: what a cell is.
    """

    times: tuple[float, ...]
    cells: np.ndarray
    losses: np.ndarray | None
    rows: str
    columns: str
    counts: tuple[int, ...]
    value: str

    @property
    def square(self) -> bool:
        """Whether rows and columns are the same things, and the diagonal means something."""
        return self.losses is not None


def matrix_info(accuracy: Accuracy) -> FramesInfo:
    """Loss of every expert on every cluster, relative to the cluster's own expert.

    The losses themselves differ far more between noise levels and clusters than between experts;
    divided by the own expert's, 1 is the diagonal and what lies above is what routing must avoid.
    """
    times, losses = _frames(accuracy.times, accuracy.matrix)
    count = max(losses.shape[1:])
    square = np.full((len(losses), count, count), np.nan)
    square[:, : losses.shape[1], : losses.shape[2]] = losses
    own = np.einsum("tkk->tk", square)[:, None, :]
    with np.errstate(invalid="ignore", divide="ignore"):
        cells = square / own
    return FramesInfo(
        times,
        np.where(np.isfinite(cells), cells, np.nan),
        square,
        "expert",
        "cluster of the data",
        accuracy.clusters_n,
        "loss / own expert's",
    )


def own_and_others(info: FramesInfo) -> tuple[np.ndarray, np.ndarray]:
    """Loss of the own expert, and mean loss of all others, [time]: means over clusters with data.

    Clusters count alike, so that both are of the same data.
    """
    losses = info.losses if info.losses is not None else info.cells
    count = losses.shape[1]
    own = np.einsum("tkk->tk", losses)
    known = np.isfinite(losses).all(axis=1)
    others = (losses.sum(axis=1) - own) / max(count - 1, 1)
    over = np.maximum(known.sum(axis=1), 1)
    means = [np.where(known, values, 0.0).sum(axis=1) / over for values in (own, others)]
    nobody = known.sum(axis=1) == 0
    return np.where(nobody, np.nan, means[0]), np.where(nobody, np.nan, means[1])


def pixels_info(pixels: Pixels) -> FramesInfo:
    """Where in the image the experts' predictions of it differ."""
    times, cells = _frames(pixels.times, pixels.maps)
    return FramesInfo(times, cells, None, "row", "column", (), "std over experts")


def _frames(
    times: Sequence[float | None], nested: Sequence[Sequence[Sequence[float | None]]]
) -> tuple[tuple[float, ...], np.ndarray]:
    """Frames that have a noise level, falling; short rows are filled with nan."""
    known = [(t, one) for t, one in zip(times, nested, strict=False) if t is not None]
    known.sort(key=lambda pair: -pair[0])
    rows = max((len(one) for _, one in known), default=0)
    columns = max((len(row) for _, one in known for row in one), default=0)
    cells = np.full((len(known), rows, columns), np.nan)
    for place, (_, one) in enumerate(known):
        for r, row in enumerate(one):
            cells[place, r, : len(row)] = np.array(row, dtype=float)  # None becomes nan
    return tuple(t for t, _ in known), cells


def figure(info: FramesInfo, look: Look, *, height: int = 430) -> go.Figure:
    """A heatmap with a slider over t; opens in the middle, where experts and data differ most."""
    chart = base_figure(look, height=height)
    if not info.cells.size:
        return chart
    start = len(info.times) // 2
    maps = [
        _matrix(info, place, look) if info.square else _map(info, place, look)
        for place in range(len(info.times))
    ]
    names = [f"frame {place}" for place in range(len(maps))]
    chart.add_trace(maps[start])
    chart.frames = [go.Frame(data=[one], name=name) for one, name in zip(maps, names, strict=True)]
    at_once = {"mode": "immediate", "frame": {"duration": 0, "redraw": True}}
    steps = [
        {
            "label": f"{t:.2f}",
            "method": "animate",
            "args": [[name], at_once | {"transition": {"duration": 0}}],
        }
        for t, name in zip(info.times, names, strict=True)
    ]
    chart.update_layout(
        sliders=[
            {
                "active": start,
                "steps": steps,
                "currentvalue": {"prefix": "t = ", "font": {"size": 13, "color": look.ink}},
                "font": {"size": 11, "color": look.muted},
                "pad": {"t": 40 if info.square else 14, "b": 6, "l": 4, "r": 4},
                "bgcolor": _KNOB,
                "activebgcolor": look.ink,
                "bordercolor": look.paper,
                "borderwidth": 2,
                "tickcolor": look.grid,
                "ticklen": 4,
                "minorticklen": 0,
            }
        ],
        hovermode="closest",
        margin={"t": 8, "l": 8, "r": 8, "b": 8},
    )
    if info.square:
        _square_axes(chart, info, look)
    else:
        chart.update_xaxes(visible=False, constrain="domain")
        chart.update_yaxes(visible=False, autorange="reversed", scaleanchor="x")
    return chart


def _matrix(info: FramesInfo, place: int, look: Look) -> go.Heatmap:
    """Ratios as colours by their logarithm: half as much is as far from 1 as twice as much.

    Every frame has the same colours, or they could not be compared.
    """
    cells = info.cells[place]
    written = len(cells) <= _MOST_WRITTEN
    end = _end(info)
    ticks = [t for t in (_FINE if end <= np.log2(5) else _COARSE) if abs(np.log2(t)) <= end]
    return go.Heatmap(
        z=_logs(cells),
        zmin=-end,
        zmax=end,
        colorscale=_diverging(look),
        xgap=2,
        ygap=2,
        text=[[_ratio(v) for v in row] for row in cells],
        texttemplate="%{text}" if written else None,
        textfont={"size": 11},
        customdata=None if info.losses is None else info.losses[place],
        hovertemplate=f"{info.rows} %{{y}}, cluster %{{x}}: %{{text}} times the own expert's loss"
        "<br>loss %{customdata:.3g}<extra></extra>",
        colorbar=_bar(info, look)
        | {"tickvals": [np.log2(tick) for tick in ticks], "ticktext": [f"{t:.3g}" for t in ticks]},
    )


def _logs(ratios: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log2(ratios)
    return np.where(np.isfinite(logs), logs, np.nan)


def _end(info: FramesInfo) -> float:
    """Where the colours end: nine of ten cells beside the diagonal lie within.

    A single hopeless expert must not hide all others.
    """
    logs = np.abs(_logs(info.cells)[:, ~np.eye(info.cells.shape[1], dtype=bool)])
    known = logs[np.isfinite(logs)]
    reach = float(np.quantile(known, 0.9)) if len(known) else 0.0
    return float(np.clip(reach, np.log2(_LEAST_RATIO), np.log2(_MOST_RATIO)))


def _ratio(value: float) -> str:
    """A ratio in up to four letters: 1.07, 14.2, 147."""
    if not np.isfinite(value):
        return ""
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def _map(info: FramesInfo, place: int, look: Look) -> go.Heatmap:
    """Each map on a scale of its own: where is asked; how much, the key says."""
    cells = info.cells[place]
    most = float(np.nanmax(cells, initial=0.0))
    return go.Heatmap(
        z=cells,
        zmin=0.0,
        zmax=most or 1.0,
        colorscale=scale(look),
        hovertemplate=f"{info.rows} %{{y}}, {info.columns} %{{x}}: %{{z:.3g}}<extra></extra>",
        colorbar=_bar(info, look),
    )


def _bar(info: FramesInfo, look: Look) -> dict[str, object]:
    title = {"text": info.value, "side": "right", "font": {"size": 12, "color": look.muted}}
    tick = {"size": 11, "color": look.muted}
    return {"title": title, "thickness": 10, "outlinewidth": 0, "tickfont": tick}


def _diverging(look: Look) -> list[tuple[float, str]]:
    """Blue above the middle, orange below; the middle is the page itself."""
    above = [colour for _, colour in scale(look)]
    below = _STRANGER_DARK if look.dark else _STRANGER_LIGHT
    first = [(0.5 * i / len(below), colour) for i, colour in enumerate(below)]
    return first + [(0.5 + 0.5 * i / (len(above) - 1), colour) for i, colour in enumerate(above)]


def _square_axes(chart: go.Figure, info: FramesInfo, look: Look) -> None:
    """Names of experts and clusters, and a frame around what belongs together."""
    count = info.cells.shape[2]
    every = 1 if count <= _MOST_WRITTEN else -(-count // 8)
    ticks = list(range(0, count, every))
    counts = info.counts if len(info.counts) == count else ()
    names = [f"{k}<br>n = {counts[k]:,}" if counts and every == 1 else f"{k}" for k in ticks]
    chart.update_xaxes(
        title_text=info.columns, tickvals=ticks, ticktext=names, tickangle=0, showgrid=False
    )
    chart.update_yaxes(title_text=info.rows, autorange="reversed", tickvals=ticks, showgrid=False)
    for k in range(count):
        chart.add_shape(
            type="rect",
            **{"x0": k - 0.47, "x1": k + 0.47, "y0": k - 0.47, "y1": k + 0.47},
            line={"color": look.ink, "width": 1.6 if count <= _MOST_WRITTEN else 0.8},
        )


def table(info: FramesInfo) -> pd.DataFrame:
    """What is drawn, one row per noise level and cell; for a matrix with the loss itself."""
    time, row, column = (axis.ravel() for axis in np.indices(info.cells.shape))
    columns: dict[str, object] = {
        "t": np.array(info.times, dtype=float)[time],
        info.rows: row,
        info.columns: column,
        info.value: info.cells.ravel(),
    }
    if info.losses is not None:
        columns["loss"] = info.losses.ravel()
        if len(info.counts) == info.cells.shape[2]:
            columns["n"] = np.array(info.counts)[column]
    return pd.DataFrame(columns)
