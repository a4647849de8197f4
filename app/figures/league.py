"""Which diagnostic predicts quality? Rank correlation over routes, the strongest first."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go

from app.audits.file import Audit
from app.figures.claims import colour_of, finite, shown, written
from app.figures.look import Look, base_figure, plain

__all__ = ["LeagueInfo", "Place", "figure", "league_info", "table"]


class Place(NamedTuple):
    """One diagnostic; numbers are nan where there are none.

    Arguments:
        rho, low, high: Spearman's rank correlation with quality over routes, 95% interval.
        least, most: rho when any one route is left out.
        routes: that it rests on.
        clear: whether the interval excludes zero.
    """

    name: str
    title: str
    definition: str
    rho: float
    low: float
    high: float
    least: float
    most: float
    routes: int
    clear: bool


class LeagueInfo(NamedTuple):
    """Diagnostics from the strongest correlation to the weakest.

    Arguments:
        quality: its title.
        direction: what a positive rho means, in words.
    """

    quality: str
    direction: str
    places: tuple[Place, ...]


def league_info(audit: Audit) -> LeagueInfo:
    """The league of an audit, sorted by |rho|; what has no number comes last."""
    if audit.league is None:
        return LeagueInfo(audit.plan.quality_title, "", ())
    places: list[Place] = []
    for row in audit.league.rows:
        rho, low, high = (finite(one) for one in row.spearman[:3])
        least, most = (finite(one) for one in row.leave_one_out)
        clear = not math.isnan(low + high) and (low > 0 or high < 0)
        title = row.title or audit.definition(row.name).title
        numbers = (rho, low, high, least, most)
        places.append(Place(row.name, title, row.definition, *numbers, row.routes, clear))
    places.sort(key=lambda one: -1.0 if math.isnan(one.rho) else abs(one.rho), reverse=True)
    known = audit.definition(audit.league.quality)
    quality = known.title
    better = {"lower": "worse", "higher": "better", None: "larger"}[known.better]
    direction = f"right of 0: where it is larger, {quality} is {better}"
    return LeagueInfo(quality, direction, tuple(places))


def figure(info: LeagueInfo, look: Look) -> go.Figure:
    """Dots with whiskers, filled where the interval excludes zero, on a bar for leave-one-out."""
    count = len(info.places)
    chart = base_figure(look, height=78 + 30 * max(count, 1))
    chart.add_vline(x=0, line={"color": look.muted, "width": 1.2})
    for row, one in enumerate(info.places):
        if math.isnan(one.rho):
            _write(chart, row, "no number", look)
            continue
        colour = colour_of("supported", look) if one.clear else look.muted
        if not math.isnan(one.least + one.most):
            chart.add_scatter(
                x=[one.least, one.most],
                y=[row, row],
                mode="lines",
                line={"color": look.grid, "width": 13},
                hoverinfo="skip",
            )
        if not math.isnan(one.low + one.high):
            chart.add_scatter(
                x=[one.low, one.high],
                y=[row, row],
                mode="lines",
                line={"color": colour, "width": 1.8},
                hoverinfo="skip",
            )
        chart.add_scatter(
            x=[one.rho],
            y=[row],
            mode="markers",
            marker={
                "size": 10,
                "color": colour if one.clear else look.paper,
                "line": {"color": colour, "width": 1.8},
            },
            hovertemplate=f"<b>{plain(one.title)}</b>: ρ = {written(one.rho, one.low, one.high)}"
            f"<br>{plain(one.definition, 110)}<br>without any one route: {shown(one.least)} to "
            f"{shown(one.most)}<extra></extra>",
        )
        _write(chart, row, f"<b>{shown(one.rho)}</b>  {_interval(one)}", look)
    chart.update_layout(hovermode="closest", margin={"t": 6}, showlegend=False)
    chart.update_xaxes(
        range=[-1.04, 1.62],
        tickvals=[-1, -0.5, 0, 0.5, 1],
        title_text=f"Spearman's ρ with {plain(info.quality)} over routes",
    )
    chart.update_yaxes(
        range=[count - 0.5, -0.5],
        showgrid=False,
        tickvals=list(range(count)),
        ticktext=[plain(one.title, 34) for one in info.places],
        tickfont={"size": 12, "color": look.ink},
    )
    return chart


def _interval(one: Place) -> str:
    return "" if math.isnan(one.low + one.high) else f"[{shown(one.low)}, {shown(one.high)}]"


def _write(chart: go.Figure, row: int, text: str, look: Look) -> None:
    font = {"size": 12, "color": look.ink}
    chart.add_annotation(x=1.08, y=row, xanchor="left", text=text, showarrow=False, font=font)


def table(info: LeagueInfo) -> pd.DataFrame:
    """What is drawn, one row per diagnostic."""
    return pd.DataFrame(
        [
            {
                "diagnostic": one.title,
                "name": one.name,
                "definition": one.definition,
                "spearman": one.rho,
                "low": one.low,
                "high": one.high,
                "least_without_one": one.least,
                "most_without_one": one.most,
                "routes": one.routes,
            }
            for one in info.places
        ],
        columns=[
            *("diagnostic", "name", "definition", "spearman", "low", "high"),
            *("least_without_one", "most_without_one", "routes"),
        ],
    )
