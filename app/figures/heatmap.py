"""Expert against step as colour: of one sample, or the mean over all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from app.figures.look import Look, base_figure, expert_colour, plain, scale
from app.figures.subjects import axis_of, long_name, measured
from app.figures.time_axis import over_time

__all__ = ["HeatmapInfo", "figure", "heatmap_info", "table"]

#: More cells than a browser redraws at once; above, steps are thinned evenly.
_MOST_STEPS = 200


class HeatmapInfo(NamedTuple):
    """A variable [step, sample, other] at one sample, or its mean over samples.

    Arguments:
        other: the third dim; its entries are the rows.
        values: [other, step]
        chosen: the row that leads at each step [step], -1 where none does alone; None where
            rows are not experts.
        sample: seed, or None for the mean.
    """

    name: str
    title: str
    definition: str
    axis: str
    x: np.ndarray
    steps: np.ndarray
    t: np.ndarray
    other: str
    values: np.ndarray
    chosen: np.ndarray | None
    sample: int | None


def heatmap_info(
    trace: xr.Dataset, name: str, *, sample: int | None = None, axis: str = "step"
) -> HeatmapInfo:
    """Numbers of variable `name` [step, sample, other] or [step, other].

    Arguments:
        sample: seed of the sample to show; None for the mean over those that were measured.
    """
    variable = trace[name]
    other = next(str(d) for d in variable.dims if d not in ("step", "sample"))
    count = variable.sizes["step"]
    steps = np.unique(np.linspace(0, count - 1, min(count, _MOST_STEPS)).round().astype(int))
    if "sample" not in variable.dims:
        values = np.asarray(variable.transpose("step", other).values, dtype=np.float64)
    elif sample is None:
        values = measured(variable.transpose("step", "sample", other)).mean(axis=1)
    else:
        one = variable.sel(sample=sample).transpose("step", other)
        values = np.asarray(one.values, dtype=np.float64)
    chosen: np.ndarray | None = None
    if other == "expert" and sample is not None and "weights" in trace:
        weights = np.asarray(
            trace["weights"].sel(sample=sample).transpose("step", "expert").values
        )
        leader = weights.argmax(axis=1)
        alone = (weights == weights.max(axis=1, keepdims=True)).sum(axis=1) == 1
        chosen = np.where(alone, leader, -1)[steps]
    return HeatmapInfo(
        name,
        long_name(variable),
        str(variable.attrs.get("definition", "")),
        axis,
        axis_of(trace, axis)[steps],
        steps,
        axis_of(trace, "t")[steps],
        other,
        values[steps].T,
        chosen,
        sample,
    )


def figure(info: HeatmapInfo, look: Look, *, height: int | None = None) -> go.Figure:
    """Rows are experts; a dot marks the one with the largest weight."""
    count = len(info.values)
    tall = height or min(max(90 + 24 * count, 220), 620)
    chart = base_figure(look, height=tall, cursor=info.x.tolist())
    share = info.name in ("weights", "router_probability")
    chart.add_heatmap(
        z=info.values,
        x=info.x,
        y=list(range(count)),
        colorscale=scale(look),
        zmin=0.0 if share else None,
        zmax=1.0 if share else None,
        ygap=1.5,
        colorbar={
            "thickness": 10,
            "outlinewidth": 0,
            "tickfont": {"size": 11, "color": look.muted},
            "title": {"text": plain(info.title, 24), "side": "right", "font": {"size": 11}},
        },
        hovertemplate=f"{info.other} %{{y}}, {info.axis} %{{x:.3~g}}: %{{z:.4~g}}<extra></extra>",
    )
    if info.chosen is not None and (info.chosen >= 0).any():
        led = info.chosen >= 0
        chart.add_scatter(
            x=info.x[led],
            y=info.chosen[led],
            mode="markers",
            marker={
                "size": 7 if led.sum() <= 30 else 5,
                "color": [expert_colour(int(k)) for k in info.chosen[led]],
                "line": {"color": look.paper, "width": 1.2},
            },
            hoverinfo="skip",
            showlegend=False,
        )
    chart.update_layout(hovermode="closest")
    every = 1 if count <= 16 else 4
    ticks = list(range(0, count, every))
    chart.update_yaxes(
        autorange="reversed",
        showgrid=False,
        tickvals=ticks,
        ticktext=[f"{plain(info.other)} {k}" for k in ticks],
    )
    chart.update_xaxes(showgrid=False)
    over_time(chart, info.axis, info.x)
    return chart


def table(info: HeatmapInfo) -> pd.DataFrame:
    """What is drawn, one row per step and expert."""
    others, steps = info.values.shape
    return pd.DataFrame(
        {
            "step": np.repeat(info.steps, others),
            "t": np.repeat(info.t, others),
            info.other: np.tile(np.arange(others), steps),
            info.name: info.values.T.ravel(),
        }
    )
