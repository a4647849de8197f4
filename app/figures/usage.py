"""Is an expert asked as often as its data are frequent? Share of the lead against the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from app.figures.leaders import LeadersPanel
from app.figures.look import Look, base_figure, expert_colour, plain, run_style
from ddm_core.analysis.switching import leading, share_of
from ddm_core.intervals import Estimate, estimate_mean

__all__ = ["COUNTS", "UsageInfo", "Use", "farthest", "figure", "table", "usage_info"]

#: What can be counted, and how it is called.
COUNTS = {
    "final": "samples that it leads at the end",
    "led": "steps that it leads",
    "weight": "weight",
}
_SYMBOLS = ("circle", "diamond", "square", "triangle-up")


class Use(NamedTuple):
    """One expert of one run."""

    label: str
    place: int
    expert: int
    data: float
    share: Estimate


class UsageInfo(NamedTuple):
    """All experts of all runs.

    Arguments:
        counted: see COUNTS.
    """

    counted: str
    uses: tuple[Use, ...]


def usage_info(
    panels: Sequence[LeadersPanel],
    traces: Sequence[xr.Dataset],
    proportions: Sequence[float],
    counted: str = "final",
) -> UsageInfo:
    """Shares with 95% intervals over samples, which are independent as their steps are not.

    Arguments:
        traces: of the panels' runs.
        proportions: share of the data in each cluster, [expert].
        counted: see COUNTS.
    """
    uses: list[Use] = []
    for panel, trace in zip(panels, traces, strict=True):
        who = leading(trace)
        weights = trace["weights"].transpose("step", "sample", "expert")
        each = who.led if counted == "led" else weights.mean("step").values.astype(np.float64)
        for k in range(min(who.experts, len(proportions))):
            if counted == "final":
                count = int((who.expert[-1] == k).sum())
                share = share_of(count, len(who.seeds), COUNTS[counted])
            else:
                share = estimate_mean(each[:, k], COUNTS[counted])
            uses.append(Use(panel.label, panel.place, k, float(proportions[k]), share))
    return UsageInfo(counted, tuple(uses))


def farthest(info: UsageInfo) -> Use | None:
    """The expert whose share is the most times that of its data, with an interval beyond it."""
    over = [
        use
        for use in info.uses
        if use.share.low is not None and use.data > 0 and use.share.low > use.data
    ]
    return max(over, key=lambda use: (use.share.value or 0) / use.data, default=None)


def figure(info: UsageInfo, look: Look) -> go.Figure:
    """A dot per expert and run; on the line an expert is asked as often as its data are there."""
    chart = base_figure(look, height=380)
    reach = 1.08 * max(max(use.data, _high(use)) for use in info.uses)
    chart.add_scatter(
        x=[0, reach],
        y=[0, reach],
        mode="lines",
        line={"color": look.muted, "width": 1, "dash": "dot"},
        name="as often as its data",
        hoverinfo="skip",
    )
    places = sorted({(use.place, use.label) for use in info.uses})
    low = min(use.data for use in info.uses)
    high = max(use.data for use in info.uses)
    slack = max((high - low) * 0.15, 0.03)
    # Runs beside each other: their experts have the same data.
    aside = (high - low + 2 * slack) * 0.012
    for index, (place, label) in enumerate(places):
        mine = [use for use in info.uses if use.place == place]
        values = [use.share.value or 0.0 for use in mine]
        chart.add_scatter(
            x=[use.data + aside * (index - (len(places) - 1) / 2) for use in mine],
            y=values,
            error_y={
                "type": "data",
                "array": [_high(use) - v for use, v in zip(mine, values, strict=True)],
                "arrayminus": [v - _low(use) for use, v in zip(mine, values, strict=True)],
                "color": look.muted,
                "thickness": 1.2,
                "width": 3,
            },
            mode="markers+text",
            text=[str(use.expert) for use in mine],
            textposition="middle right",
            textfont={"size": 11, "color": look.ink},
            marker={
                "size": 12,
                "symbol": _SYMBOLS[index % len(_SYMBOLS)],
                "color": [expert_colour(use.expert) for use in mine],
                "line": {"color": look.paper, "width": 1.2},
            },
            name=f"{run_style(place, look).letter}  {plain(label, 28)}",
            customdata=[use.data for use in mine],
            hovertemplate="expert %{text}: %{y:.1%}, its data %{customdata:.1%}<extra></extra>",
        )
    chart.update_xaxes(
        title_text="share of the data in its cluster",
        tickformat=".0%",
        range=[max(low - slack, 0), high + slack],
    )
    chart.update_yaxes(
        title_text=f"share of the {COUNTS[info.counted]}",
        tickformat=".0%",
        range=[-0.03 * reach, reach],
    )
    chart.update_layout(hovermode="closest", margin={"t": 36})
    return chart


def _high(use: Use) -> float:
    known = use.share.high if use.share.high is not None else use.share.value
    return 0.0 if known is None else known


def _low(use: Use) -> float:
    known = use.share.low if use.share.low is not None else use.share.value
    return 0.0 if known is None else known


def table(info: UsageInfo) -> pd.DataFrame:
    """A row per run and expert."""
    return pd.DataFrame(
        [
            {
                "run": use.label,
                "expert": use.expert,
                "share_of_data": use.data,
                f"share_{info.counted}": use.share.value,
                "low": use.share.low,
                "high": use.share.high,
                "n": use.share.n,
                "method": use.share.method,
            }
            for use in info.uses
        ]
    )
