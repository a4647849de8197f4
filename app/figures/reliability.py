"""Is a router as sure as it is right? Accuracy over confidence, and how many answers lie where.

References:
    On Calibration of Modern Neural Networks (Guo et al., 2017)
"""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.audits.evidence import Bin, RouterQuality
from app.figures.bands import CHOSEN, role_colour
from app.figures.claims import finite
from app.figures.look import Look, alpha, base_figure

__all__ = ["ReliabilityInfo", "figure", "reliability_info", "table", "verdict"]


class ReliabilityInfo(NamedTuple):
    """The bins that hold answers, by rising confidence.

    Arguments:
        bins: with low, high, confidence, accuracy and n.
        modest, bold: share of the answers in bins whose accuracy lies above their confidence, and
            below it.
    """

    bins: tuple[Bin, ...]
    modest: float
    bold: float


def reliability_info(router: RouterQuality) -> ReliabilityInfo:
    """From a router's quality; bins without answers are left out."""
    bins = sorted(
        (
            one
            for one in router.reliability
            if one.n > 0 and one.confidence is not None and one.accuracy is not None
        ),
        key=lambda one: finite(one.confidence),
    )
    total = sum(one.n for one in bins)
    modest = sum(one.n for one in bins if finite(one.accuracy) > finite(one.confidence))
    bold = sum(one.n for one in bins if finite(one.accuracy) < finite(one.confidence))
    share = (modest / total, bold / total) if total else (math.nan, math.nan)
    return ReliabilityInfo(tuple(bins), *share)


def verdict(router: RouterQuality) -> str:
    """What the fitted temperature says of the router, in words; "" where it has no interval."""
    low, high = router.temperature.low, router.temperature.high
    if low is None or high is None:
        return ""
    if high < 1:
        return "The fitted temperature is below 1: the router is less sure than it could be"
    if low > 1:
        return "The fitted temperature is above 1: the router is surer than it should be"
    return "1 lies within the interval: no correction of its confidence that these data could tell"


def figure(info: ReliabilityInfo, look: Look) -> go.Figure:
    """On the dotted line confidence is deserved; below, the number of answers of each bin."""
    colour = role_colour(CHOSEN, look)
    chart = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        row_heights=[0.76, 0.24],
        vertical_spacing=0.04,
        figure=base_figure(look, height=340),
    )
    chart.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": look.muted, "width": 1, "dash": "dot"},
        hoverinfo="skip",
        row=1,
        col=1,
    )
    chart.add_scatter(
        x=[one.confidence for one in info.bins],
        y=[one.accuracy for one in info.bins],
        mode="lines+markers",
        line={"color": alpha(colour, 0.5), "width": 1.5},
        marker={"color": colour, "size": 8},
        cliponaxis=False,
        customdata=[[one.n, finite(one.low), finite(one.high)] for one in info.bins],
        hovertemplate="confidence %{customdata[1]:.2f} to %{customdata[2]:.2f}: right in "
        "%{y:.1%} of %{customdata[0]:,} answers<extra></extra>",
        row=1,
        col=1,
    )
    edges = [(finite(one.low), finite(one.high)) for one in info.bins]
    chart.add_bar(
        x=[(low + high) / 2 for low, high in edges],
        y=[one.n for one in info.bins],
        width=[max(high - low, 0.0) * 0.86 for low, high in edges],
        marker={"color": alpha(colour, 0.55), "line": {"width": 0}},
        text=[_short(one.n) for one in info.bins],
        textposition="outside",
        textfont={"size": 10, "color": look.muted},
        cliponaxis=False,
        constraintext="none",
        textangle=0,
        hovertemplate="%{y:,} answers<extra></extra>",
        row=2,
        col=1,
    )
    most = max((one.n for one in info.bins), default=1)
    chart.update_xaxes(range=[0, 1.02])
    chart.update_xaxes(title_text="how sure the router is (largest p)", row=2, col=1)
    chart.update_yaxes(range=[0, 1.02], title_text="share right", tickformat=".0%", row=1, col=1)
    chart.update_yaxes(
        range=[0, 1.35 * most], title_text="n", showticklabels=False, showgrid=False, row=2, col=1
    )
    chart.update_layout(
        showlegend=False, hovermode="closest", margin={"t": 12, "l": 8, "r": 12, "b": 8}
    )
    return chart


def _short(n: int) -> str:
    """A count of up to four letters: 182, 1.4k, 23k."""
    if n < 1000:
        return str(n)
    return f"{n / 1000:.1f}k" if n < 9950 else f"{n / 1000:.0f}k"


def table(info: ReliabilityInfo) -> pd.DataFrame:
    """What is drawn, one row per bin."""
    return pd.DataFrame([one.model_dump() for one in info.bins], columns=list(Bin.model_fields))
