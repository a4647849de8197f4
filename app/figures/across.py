"""Disagreement and quality from route to route, and every rank correlation of the two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.audits.evidence import Disagreement
from app.audits.file import Audit
from app.figures.bands import CHOSEN, role_colour
from app.figures.claims import finite, written
from app.figures.look import Look, alpha, base_figure, plain
from app.figures.placing import places
from app.figures.stretch import Stretch, stretch
from ddm_core.intervals import Estimate

__all__ = [
    "AcrossInfo",
    "Correlation",
    "across_info",
    "correlations",
    "correlations_figure",
    "correlations_table",
    "figure",
    "table",
]

_HEIGHT = 420
_NAME = 26  # letters of a name that are written


class Point(NamedTuple):
    """A route; `beside`: measured for the paradox map alone."""

    router: str
    beside: bool
    disagreement: Estimate
    quality: Estimate


class AcrossInfo(NamedTuple):
    """Routes that have both numbers.

    Arguments:
        quality: how the metric is called.
        better: lower or higher.
    """

    points: tuple[Point, ...]
    quality: str
    better: str


class Correlation(NamedTuple):
    """A rank correlation: over what, and of which number with disagreement."""

    over: str
    with_what: str
    rho: Estimate
    p: float


def across_info(audit: Audit) -> AcrossInfo:
    """Mean disagreement and quality of every route; a monolith disagrees with no one."""
    quality = audit.plan.quality
    points = (
        Point(
            route.router,
            route.kind == "map",
            route.number("disagreement"),
            route.number(quality),
        )
        for route in audit.routes
        if route.kind != "reference"
    )
    return AcrossInfo(
        tuple(
            one
            for one in points
            if one.disagreement.value is not None and one.quality.value is not None
        ),
        audit.plan.quality_title or quality,
        audit.definition(quality).better or "lower",
    )


def correlations(audit: Audit, found: Disagreement) -> tuple[Correlation, ...]:
    """Within each route over its samples, and over all routes; those that have a value."""
    title = audit.plan.quality_title or audit.plan.quality
    rows = [
        Correlation(
            f"samples of {one.router}", "distance to real data", one.spearman, finite(one.p)
        )
        for one in found.routes
    ]
    rows += [
        Correlation(
            f"samples of {one.router}",
            "classifier's doubt, 1 - largest p",
            one.spearman_doubt,
            finite(one.p_doubt),
        )
        for one in found.routes
    ]
    if found.noising is not None:
        rows.append(
            Correlation(
                "held-out data",
                f"denoising loss of {found.noising.router}",
                found.noising.spearman,
                finite(found.noising.p),
            )
        )
    rows.append(Correlation("routes", f"{title} of the route", found.across, math.nan))
    return tuple(row for row in rows if row.rho.value is not None)


def figure(info: AcrossInfo, look: Look) -> go.Figure:
    """A point per route with whiskers both ways."""
    chart = base_figure(look, height=_HEIGHT)
    colour = role_colour(CHOSEN, look)
    x = stretch([finite(one.disagreement.value) for one in info.points])
    y = stretch([finite(one.quality.value) for one in info.points])
    spots = np.array(
        [(x.at(finite(p.disagreement.value)), y.at(finite(p.quality.value))) for p in info.points]
    ).reshape(-1, 2)
    for beside in (True, False):
        group = [place for place, one in enumerate(info.points) if one.beside is beside]
        if not group:
            continue
        points = [info.points[place] for place in group]
        shade = look.muted if beside else colour
        chart.add_scatter(
            x=spots[group, 0],
            y=spots[group, 1],
            error_x=_bars([one.disagreement for one in points], x, shade),
            error_y=_bars([one.quality for one in points], y, shade),
            mode="markers",
            marker={
                "size": 7 if beside else 11,
                "color": shade,
                "line": {"color": look.paper, "width": 1.2},
            },
            name="routes of the map" if beside else "strategies",
            customdata=[
                [
                    plain(one.router),
                    *(written(*map(finite, e[:3])) for e in one[2:]),
                    one.quality.n,
                ]
                for one in points
            ],
            hovertemplate="<b>%{customdata[0]}</b><br>"
            f"{plain(info.quality)} %{{customdata[2]}}, n = %{{customdata[3]:,}}<br>"
            "disagreement %{customdata[1]} rad<extra></extra>",
        )
    names = ["" if one.beside else one.router[:_NAME] for one in info.points]
    sides = places(spots, names)
    chart.add_scatter(
        x=spots[list(sides), 0],
        y=spots[list(sides), 1],
        # An unseen marker keeps the text off the one that is seen.
        mode="markers+text",
        marker={"size": 15, "color": "rgba(0,0,0,0)"},
        text=[plain(info.points[place].router, _NAME) for place in sides],
        textposition=list(sides.values()),
        textfont={"size": 11, "color": look.ink},
        hoverinfo="skip",
        showlegend=False,
    )
    reach = [finite(end) for one in info.points for end in one.disagreement[:3]]
    chart.update_xaxes(title_text="mean disagreement of the route (rad)", **x.axis(reach))
    reach = [finite(end) for one in info.points for end in one.quality[:3]]
    chart.update_yaxes(
        title_text=f"{plain(info.quality)} ({info.better} is better)", **y.axis(reach)
    )
    some = any(one.beside for one in info.points)
    chart.update_layout(
        hovermode="closest", showlegend=some, margin={"t": 34 if some else 10, "r": 16}
    )
    return chart


def _bars(values: Sequence[Estimate], axis: Stretch, colour: str) -> dict[str, object]:
    ends = np.array([[axis.at(finite(end)) for end in one[:3]] for one in values])
    away = np.nan_to_num(np.maximum(ends[:, [2, 0]] - ends[:, [0, 1]], 0.0))
    return {
        "type": "data",
        "symmetric": False,
        "array": away[:, 0],
        "arrayminus": away[:, 1],
        "thickness": 1.1,
        "width": 0,
        "color": alpha(colour, 0.5),
    }


def table(info: AcrossInfo) -> pd.DataFrame:
    """What is drawn, one row per route."""
    rows: list[dict[str, object]] = []
    for one in info.points:
        row: dict[str, object] = {"router": one.router, "for_the_map": one.beside}
        for name, number in (("disagreement", one.disagreement), (info.quality, one.quality)):
            row |= {name: number.value, f"{name}_low": number.low, f"{name}_high": number.high}
            row[f"{name}_n"] = number.n
        rows.append(row)
    return pd.DataFrame(rows)


def correlations_figure(rows: Sequence[Correlation], look: Look) -> go.Figure:
    """A line per correlation against 0; filled where its interval leaves 0 out."""
    chart = base_figure(look, height=_HEIGHT)
    colour = role_colour(CHOSEN, look)
    chart.add_vline(x=0, line={"color": look.muted, "width": 1})
    for place, row in enumerate(rows):
        value, low, high = map(finite, row.rho[:3])
        clear = low > 0 or high < 0
        chart.add_scatter(
            x=[low, high],
            y=[place, place],
            mode="lines",
            line={"color": alpha(colour, 0.5), "width": 5},
            hoverinfo="skip",
        )
        numbers = written(value, low, high)
        chart.add_scatter(
            x=[value],
            y=[place],
            mode="markers",
            marker={
                "size": 12,
                "color": colour if clear else look.paper,
                "line": {"color": colour, "width": 2},
            },
            hovertemplate=f"over the {plain(row.over)}: {numbers}<extra></extra>",
        )
        chart.add_annotation(
            x=1,
            xref="paper",
            xanchor="right",
            y=place - 0.3,
            text=f"{numbers}  n = {row.rho.n:,}",
            showarrow=False,
            bgcolor=look.paper,
            font={"size": 12, "color": look.ink},
        )
    chart.update_xaxes(
        range=[-1.05, 1.05], tickvals=[-1, -0.5, 0, 0.5, 1], title_text="Spearman's rho"
    )
    chart.update_yaxes(
        range=[len(rows) - 0.4, -0.75],
        showgrid=False,
        tickvals=list(range(len(rows))),
        ticktext=[
            f"over the {plain(row.over, 32)}<br><i>with {plain(row.with_what, 32)}</i>"
            for row in rows
        ],
        tickfont={"size": 12, "color": look.ink},
    )
    chart.update_layout(showlegend=False, hovermode="closest", margin={"t": 10})
    return chart


def correlations_table(rows: Sequence[Correlation]) -> pd.DataFrame:
    """What is drawn, one row per correlation."""
    return pd.DataFrame(
        [
            {
                "over": row.over,
                "disagreement_with": row.with_what,
                "rho": row.rho.value,
                "low": row.rho.low,
                "high": row.rho.high,
                "n": row.rho.n,
                "p": row.p,
                "method": row.rho.method,
            }
            for row in rows
        ]
    )
