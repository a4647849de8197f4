"""Quality by bucket of disagreement, and how well a router's confidence is deserved."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.audit_file import Bin, DisagreementRoute, RouterQuality
from app.figures.claims import finite, written
from app.figures.look import Look, alpha, base_figure
from ddm_core.summary import Estimate

__all__ = [
    "BucketRow",
    "bucket_rows",
    "buckets_figure",
    "buckets_table",
    "reliability_figure",
    "reliability_table",
]

_BLUE, _RED = "#0072B2", "#D55E00"


class BucketRow(NamedTuple):
    """A quarter of the samples, by how much the experts disagreed on them."""

    name: str
    low: float
    high: float
    n: int
    quality: Estimate
    distance: Estimate


def bucket_rows(route: DisagreementRoute) -> tuple[BucketRow, ...]:
    """The buckets, lowest disagreement first."""
    rows: list[BucketRow] = []
    for place, one in enumerate(route.buckets, start=1):
        low, high = finite(one.low), finite(one.high)
        name = f"{place}. {low:.3g} to {high:.3g} rad"
        rows.append(BucketRow(name, low, high, one.n, one.quality, one.distance))
    return tuple(rows)


def buckets_figure(rows: tuple[BucketRow, ...], title: str, look: Look) -> go.Figure:
    """Two panels with one dot and interval per bucket: the metric, and the single samples."""
    chart = make_subplots(rows=1, cols=2, horizontal_spacing=0.1)
    chart.update_layout(base_figure(look, height=300).layout)
    names = [row.name for row in rows]
    pairs = ((1, title, [r.quality for r in rows]), (2, "distance to 5 nearest real", _far(rows)))
    for column, axis, values in pairs:
        chart.add_scatter(
            x=names,
            y=[finite(one.value) for one in values],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [_gap(one.high, one.value) for one in values],
                "arrayminus": [_gap(one.value, one.low) for one in values],
                "thickness": 1.6,
                "width": 0,
                "color": alpha(_BLUE, 0.6),
            },
            mode="markers",
            marker={"size": 10, "color": _BLUE},
            customdata=[[written(*map(finite, one[:3])), f"{one.n:,}"] for one in values],
            hovertemplate="%{x}: %{customdata[0]}, n = %{customdata[1]}<extra></extra>",
            row=1,
            col=column,
        )
        chart.update_yaxes(title_text=axis, row=1, col=column, rangemode="tozero")
    chart.update_xaxes(title_text="bucket of mean disagreement", tickangle=0)
    chart.update_layout(showlegend=False, margin={"t": 12, "l": 8, "r": 8, "b": 8})
    return chart


def _far(rows: tuple[BucketRow, ...]) -> list[Estimate]:
    return [row.distance for row in rows]


def _gap(above: float | None, below: float | None) -> float:
    length = finite(above) - finite(below)
    return 0.0 if math.isnan(length) else max(0.0, length)


def buckets_table(rows: tuple[BucketRow, ...], title: str) -> pd.DataFrame:
    """What is drawn, one row per bucket."""
    return pd.DataFrame(
        [
            {
                "bucket": place,
                "from": row.low,
                "to": row.high,
                "n": row.n,
                title: row.quality.value,
                f"{title} low": row.quality.low,
                f"{title} high": row.quality.high,
                "distance": row.distance.value,
                "distance low": row.distance.low,
                "distance high": row.distance.high,
            }
            for place, row in enumerate(rows, start=1)
        ]
    )


def reliability_figure(router: RouterQuality, look: Look) -> go.Figure:
    """Accuracy over confidence; on the line, the router is as sure as it is right."""
    bins = _there(router)
    most = max((one.n for one in bins), default=1)
    chart = base_figure(look, height=320)
    chart.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": look.muted, "width": 1, "dash": "dot"},
        hoverinfo="skip",
        showlegend=False,
    )
    chart.add_scatter(
        x=[finite(one.confidence) for one in bins],
        y=[finite(one.accuracy) for one in bins],
        mode="lines+markers",
        line={"color": alpha(_BLUE, 0.5), "width": 1.5},
        marker={"color": _BLUE, "size": [6 + 16 * math.sqrt(one.n / most) for one in bins]},
        customdata=[[one.n, finite(one.low), finite(one.high)] for one in bins],
        hovertemplate="confidence %{customdata[1]:.2f} to %{customdata[2]:.2f}: right in "
        "%{y:.1%} of %{customdata[0]:,} answers<extra></extra>",
        showlegend=False,
    )
    chart.update_xaxes(range=[0, 1.02], title_text="how sure the router is (largest p)")
    chart.update_yaxes(range=[0, 1.02], title_text="share that is right", tickformat=".0%")
    chart.update_layout(margin={"t": 8, "l": 8, "r": 8, "b": 8})
    return chart


def reliability_table(router: RouterQuality) -> pd.DataFrame:
    """What is drawn, one row per bin."""
    return pd.DataFrame([one.model_dump() for one in _there(router)])


def _there(router: RouterQuality) -> list[Bin]:
    return [one for one in router.reliability if one.n > 0 and one.confidence is not None]
