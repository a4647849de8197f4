"""What each expert's cluster holds: how many training images of every label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.figures.look import Look, base_figure, on_scale, plain, scale

__all__ = ["LabelsInfo", "figure", "labels_info", "table"]


class LabelsInfo(NamedTuple):
    """Counts and shares.

    Arguments:
        counts: training images, int [expert, label].
        share: of each expert's cluster, [expert, label]; rows sum to 1.
        labels: their names.
    """

    counts: np.ndarray
    share: np.ndarray
    labels: tuple[str, ...]

    def richest(self, label: int) -> int:
        """The expert whose cluster holds most of a label."""
        return int(self.counts[:, label].argmax())

    def poorest(self, label: int) -> int:
        """The expert whose cluster holds the smallest share of a label."""
        return int(self.share[:, label].argmin())


def labels_info(counts: Sequence[Sequence[int]], labels: Sequence[str]) -> LabelsInfo:
    """From counts [expert][label]."""
    numbers = np.asarray(counts, dtype=np.int64)
    total = np.maximum(numbers.sum(axis=1, keepdims=True), 1)
    return LabelsInfo(numbers, numbers / total, tuple(labels))


def figure(info: LabelsInfo, look: Look, *, label: int | None = None) -> go.Figure:
    """Expert against label; the label asked for is framed."""
    experts, count = info.counts.shape
    chart = base_figure(look, height=96 + 30 * experts)
    most = max(float(info.share.max()), 1e-9)
    chart.add_heatmap(
        z=info.share,
        x=list(range(count)),
        y=list(range(experts)),
        colorscale=scale(look),
        zmin=0,
        zmax=most,
        xgap=2,
        ygap=2,
        showscale=False,
        customdata=info.counts,
        hovertemplate="expert %{y}, label %{x}: %{customdata:,} images, %{z:.1%}<extra></extra>",
    )
    written = np.argwhere(info.share >= 0.005)
    # A heatmap writes in one colour, which cannot be read on its dark and on its light cells.
    chart.add_scatter(
        x=written[:, 1],
        y=written[:, 0],
        mode="text",
        text=[f"{info.share[k, n]:.0%}" for k, n in written],
        textfont={
            "size": 11,
            "color": [on_scale(float(info.share[k, n]) / most, look) for k, n in written],
        },
        hoverinfo="skip",
        showlegend=False,
    )
    if label is not None:
        chart.add_shape(
            type="rect",
            x0=label - 0.5,
            x1=label + 0.5,
            y0=-0.5,
            y1=experts - 0.5,
            line={"color": "#D55E00", "width": 2},
        )
    chart.update_layout(hovermode="closest", margin={"t": 8})
    chart.update_xaxes(
        tickvals=list(range(count)),
        ticktext=[plain(name, 12) for name in info.labels],
        showgrid=False,
        title_text="label",
    )
    chart.update_yaxes(
        tickvals=list(range(experts)),
        ticktext=[f"expert {k}" for k in range(experts)],
        autorange="reversed",
        showgrid=False,
    )
    return chart


def table(info: LabelsInfo) -> pd.DataFrame:
    """Counts, one row per expert and label."""
    experts, count = info.counts.shape
    return pd.DataFrame(
        {
            "expert": np.repeat(np.arange(experts), count),
            "label": np.tile(list(info.labels), experts),
            "images": info.counts.ravel(),
            "share_of_cluster": info.share.ravel(),
        }
    )
