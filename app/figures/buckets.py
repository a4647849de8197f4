"""Quality by bucket of disagreement: equal numbers of samples, from agreed to disputed."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.audits.evidence import DisagreementRoute
from app.figures.bands import CHOSEN, role_colour
from app.figures.claims import finite, written
from app.figures.look import Look, alpha, base_figure, plain
from ddm_core.intervals import Estimate

__all__ = ["BucketRow", "bucket_rows", "buckets_figure", "buckets_table", "finding"]


class BucketRow(NamedTuple):
    """Some of the samples, by how much the experts disagreed on them.

    Arguments:
        low, high: mean disagreement over the path, radians.
        quality: of these samples alone, by the audit's metric.
        distance: of each to its nearest real neighbours, mean.
    """

    place: int
    low: float
    high: float
    n: int
    quality: Estimate
    distance: Estimate

    @property
    def range(self) -> str:
        """From where to where: 0.212 – 0.221."""
        return f"{self.low:.3g} – {self.high:.3g}"


def bucket_rows(route: DisagreementRoute) -> tuple[BucketRow, ...]:
    """The buckets, lowest disagreement first."""
    return tuple(
        BucketRow(place, finite(one.low), finite(one.high), one.n, one.quality, one.distance)
        for place, one in enumerate(route.buckets, start=1)
    )


def finding(rows: tuple[BucketRow, ...], title: str) -> str:
    """Whether both numbers rise with disagreement, in words; only what the intervals allow.

    Arguments:
        title: of the metric.
    """
    first, last = rows[0], rows[-1]
    metric = _trend(first.quality, last.quality)
    distance = _trend(first.distance, last.distance)
    return f"from the first bucket to the last {title} {metric} and the distance {distance}"


def _trend(one: Estimate, other: Estimate) -> str:
    low, high = finite(one.low), finite(one.high)
    if finite(other.low) > high:
        return "rises"
    if finite(other.high) < low:
        return "falls"
    return "does not change beyond its intervals"


def buckets_figure(rows: tuple[BucketRow, ...], title: str, look: Look) -> go.Figure:
    """Two panels with one dot and interval per bucket: the metric, and the single samples."""
    chart = make_subplots(
        rows=1, cols=2, horizontal_spacing=0.1, figure=base_figure(look, height=300)
    )
    panels = (
        (1, f"{plain(title)} of the bucket", [row.quality for row in rows]),
        (2, "distance to 5 nearest real", [row.distance for row in rows]),
    )
    colour = role_colour(CHOSEN, look)
    for column, axis, values in panels:
        chart.add_scatter(
            x=[row.place for row in rows],
            y=[finite(one.value) for one in values],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [_gap(one.high, one.value) for one in values],
                "arrayminus": [_gap(one.value, one.low) for one in values],
                "thickness": 1.8,
                "width": 5,
                "color": alpha(colour, 0.65),
            },
            mode="markers",
            marker={"size": 10, "color": colour, "line": {"color": look.paper, "width": 1.2}},
            customdata=[
                [written(*map(finite, one[:3])), f"{one.n:,}", row.range]
                for one, row in zip(values, rows, strict=True)
            ],
            hovertemplate="disagreement %{customdata[2]} rad: %{customdata[0]}, "
            "n = %{customdata[1]}<extra></extra>",
            row=1,
            col=column,
        )
        chart.update_yaxes(title_text=axis, row=1, col=column, rangemode="tozero")
    chart.update_xaxes(
        title_text="bucket: least to most disagreement (rad)",
        tickvals=[row.place for row in rows],
        ticktext=[f"{row.place}<br>{row.low:.3g}–<br>{row.high:.3g}" for row in rows],
        tickangle=0,
        range=[0.5, len(rows) + 0.5],
        showgrid=False,
    )
    chart.update_layout(
        showlegend=False, hovermode="closest", margin={"t": 12, "l": 8, "r": 8, "b": 8}
    )
    return chart


def _gap(above: float | None, below: float | None) -> float:
    length = finite(above) - finite(below)
    return 0.0 if math.isnan(length) else max(0.0, length)


def buckets_table(rows: tuple[BucketRow, ...], title: str) -> pd.DataFrame:
    """What is drawn, one row per bucket."""
    return pd.DataFrame(
        [
            {
                "bucket": row.place,
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
            for row in rows
        ]
    )
