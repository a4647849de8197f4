"""Who painted this picture? Shares of every expert over the steps, and who leads at a pixel."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from app.figures.look import Look, alpha, base_figure, expert_colour
from app.figures.subjects import axis_of
from app.figures.time_axis import over_time

__all__ = ["PaintingInfo", "figure", "painting_info", "table"]


class PaintingInfo(NamedTuple):
    """One sample's picture, painted step by step.

    Arguments:
        seed: of the sample.
        x, t: where each step lies, and its time [step].
        leader: the expert with the largest contribution to each pixel so far, int
            [step, height, width]; -1 where nobody has painted yet.
        margin: its share of what was painted at the pixel, less the next expert's
            [step, height, width], from 0 to 1.
        share: of all that was painted, mean over pixels [step, expert]; rows sum to 1.
        led: share of the pixels at which each expert leads [step, expert].
    """

    seed: int
    definition: str
    axis: str
    x: np.ndarray
    t: np.ndarray
    leader: np.ndarray
    margin: np.ndarray
    share: np.ndarray
    led: np.ndarray


def painting_info(trace: xr.Dataset, seed: int, *, axis: str = "step") -> PaintingInfo | None:
    """Numbers of one sample, or None where its contributions were not recorded."""
    if "contribution" not in trace or seed not in trace["shown"].values:
        return None
    variable = trace["contribution"].sel(shown=seed)
    bytes_ = variable.transpose("step", "expert", "height", "width").values
    shares = bytes_.astype(np.float64)
    total = shares.sum(axis=1, keepdims=True)
    # Bytes are rounded: what they say is made to sum to 1 again.
    shares = np.divide(shares, total, out=np.zeros_like(shares), where=total > 0)
    ordered = np.sort(shares, axis=1)
    margin = ordered[:, -1] - (ordered[:, -2] if shares.shape[1] > 1 else 0.0)
    leader = np.where(total[:, 0] > 0, shares.argmax(axis=1), -1)
    experts = np.arange(shares.shape[1])
    led = (leader[:, None] == experts[None, :, None, None]).mean(axis=(2, 3))
    return PaintingInfo(
        seed,
        str(variable.attrs.get("definition", "")),
        axis,
        axis_of(trace, axis),
        axis_of(trace, "t"),
        leader,
        margin,
        shares.mean(axis=(2, 3)),
        led,
    )


def figure(info: PaintingInfo, look: Look, *, height: int = 300) -> go.Figure:
    """Shares of the whole picture, stacked, as far as it has been painted."""
    chart = base_figure(look, height=height, cursor=info.x.tolist())
    for k in range(info.share.shape[1]):
        chart.add_scatter(
            x=info.x,
            y=info.share[:, k],
            customdata=info.led[:, k],
            name=f"expert {k}",
            stackgroup="all",
            mode="lines",
            line={"width": 0.5, "color": expert_colour(k)},
            fillcolor=alpha(expert_colour(k), 0.82),
            hovertemplate="%{y:.1%}, leads at %{customdata:.0%} of the pixels",
        )
    chart.update_yaxes(range=[0, 1], tickformat=".0%", tickvals=[0, 0.5, 1], showgrid=False)
    chart.update_yaxes(title_text="share of the picture")
    chart.update_xaxes(showgrid=False)
    over_time(chart, info.axis, info.x)
    chart.update_layout(showlegend=False, margin={"t": 10, "b": 8})
    return chart


def table(info: PaintingInfo) -> pd.DataFrame:
    """One row per step and expert."""
    steps, experts = info.share.shape
    return pd.DataFrame(
        {
            "sample": info.seed,
            "step": np.repeat(np.arange(steps), experts),
            "t": np.repeat(info.t, experts),
            "expert": np.tile(np.arange(experts), steps),
            "share": info.share.ravel(),
            "pixels_led": info.led.ravel(),
        }
    )
