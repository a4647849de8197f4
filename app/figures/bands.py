"""Lines with bands over the noise level, side by side on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.figures.claims import finite, written
from app.figures.look import Look, alpha, base_figure, plain
from ddm_core.intervals import Estimate

__all__ = [
    "CHANCE",
    "CHOSEN",
    "HEIGHT",
    "OTHERS",
    "THIRD",
    "Band",
    "BandsInfo",
    "Panel",
    "as_band",
    "figure",
    "panels_over_t",
    "role_colour",
    "table",
]

#: What the colours stand for, on every page of the audit.
CHOSEN, OTHERS, THIRD, CHANCE = "chosen", "others", "third", "chance"
_LIGHT = {CHOSEN: "#0072B2", OTHERS: "#D55E00", THIRD: "#009E73"}
_DARK = {CHOSEN: "#56B4E9", OTHERS: "#F0883E", THIRD: "#3CC49A"}
_DASHES = {CHOSEN: "solid", OTHERS: "dash", THIRD: "dashdot", CHANCE: "dot"}
HEIGHT = 290  # pixels of a figure without titles of panels
_TITLE = 26  # pixels that a line of titles takes


class Band(NamedTuple):
    """One line: a value at each t, with an interval where it has one.

    Arguments:
        name: as the legend has it.
        role: which colour and dash: CHOSEN, OTHERS, THIRD or CHANCE.
        values: one per t; () where the line was not measured.
    """

    name: str
    role: str
    values: tuple[Estimate, ...]


class Panel(NamedTuple):
    """Lines that are drawn together."""

    title: str
    bands: tuple[Band, ...]


class BandsInfo(NamedTuple):
    """All panels.

    Arguments:
        times: noise levels of the values; 1 is noise, 0 is data. What has no level is not drawn.
        unit: what the y axis shows.
        share: whether values are shares, drawn from 0 to 1.
        zero: whether 0 means no difference, and is drawn.
        ranks: whether values are ranks; the first one is on top.
    """

    times: tuple[float | None, ...]
    panels: tuple[Panel, ...]
    unit: str
    share: bool = False
    zero: bool = False
    ranks: bool = False


def as_band(name: str, role: str, values: Sequence[Estimate | float | None]) -> Band:
    """A line from estimates, or from plain numbers without an interval."""
    return Band(
        name,
        role,
        tuple(
            one if isinstance(one, Estimate) else Estimate(one, None, None, 0, "")
            for one in values
        ),
    )


def role_colour(role: str, look: Look) -> str:
    """The colour of a role, "#rrggbb"."""
    return (_DARK if look.dark else _LIGHT).get(role, look.muted)


def panels_over_t(
    titles: Sequence[str], unit: str, look: Look, *, height: int = HEIGHT
) -> go.Figure:
    """Empty panels side by side on one scale; time runs from noise to data, as sampling does."""
    several = len(titles) > 1
    chart = make_subplots(
        rows=1,
        cols=max(1, len(titles)),
        shared_yaxes=True,
        subplot_titles=[plain(title, 34) for title in titles] if several else None,
        horizontal_spacing=0.03,
        figure=base_figure(look, height=height + _TITLE * several),
    )
    chart.update_xaxes(range=[1.02, -0.02], title_text="t (1 noise, 0 data)", tickvals=[1, 0.5, 0])
    chart.update_yaxes(title_text=unit, col=1)
    chart.update_annotations(font={"size": 12.5, "color": look.ink})
    plot = height - 92  # pixels between the axes, about
    chart.update_layout(
        showlegend=True,
        legend={"y": 1 + (_TITLE * several + 6) / plot, "yanchor": "bottom", "x": 0},
        margin={"t": 44 + _TITLE * several, "l": 8, "r": 8, "b": 8},
        hovermode="closest" if several else "x unified",
    )
    return chart


def figure(info: BandsInfo, look: Look, *, height: int = HEIGHT) -> go.Figure:
    """A panel per route."""
    chart = panels_over_t([panel.title for panel in info.panels], info.unit, look, height=height)
    told: set[str] = set()
    for column, panel in enumerate(info.panels, start=1):
        for band in panel.bands:
            if _line(chart, info, band, look, column, legend=band.name not in told):
                told.add(band.name)
    if info.zero:
        chart.add_hline(y=0, line={"color": look.muted, "width": 1}, exclude_empty_subplots=False)
    if info.share:
        chart.update_yaxes(range=[-0.03, 1.04], tickformat=".0%")
    if info.ranks:
        _from_first(chart, info)
    return chart


def _from_first(chart: go.Figure, info: BandsInfo) -> None:
    values = [
        one.high if one.high is not None else one.value
        for panel in info.panels
        for band in panel.bands
        for one in band.values
    ]
    most = max((value for value in values if value is not None), default=2.0)
    last = max(2, int(most + 0.999))
    every = max(1, -(-last // 8))
    ticks = list(range(1, last + 1, every))
    chart.update_yaxes(range=[last + 0.2, 0.75], tickvals=ticks)


def _line(
    chart: go.Figure, info: BandsInfo, band: Band, look: Look, column: int, *, legend: bool
) -> bool:
    """Draw a line; False where there is nothing of it."""
    colour = role_colour(band.role, look)
    there = [
        (t, one)
        for t, one in zip(info.times, band.values, strict=False)
        if t is not None and one.value is not None
    ]
    if not there:
        return False
    ends = [
        (t, one.low, one.high) for t, one in there if one.low is not None and one.high is not None
    ]
    if ends:
        chart.add_scatter(
            x=[t for t, _, _ in ends] + [t for t, _, _ in reversed(ends)],
            y=[high for _, _, high in ends] + [low for _, low, _ in reversed(ends)],
            mode="lines",
            fill="toself",
            fillcolor=alpha(colour, 0.2),
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            row=1,
            col=column,
        )
    chart.add_scatter(
        x=[t for t, _ in there],
        y=[one.value for _, one in there],
        mode="lines" if len(there) > 1 else "markers",
        name=plain(band.name),
        legendgroup=plain(band.name),
        showlegend=legend,
        line={"color": colour, "width": 2, "dash": _DASHES.get(band.role, "solid")},
        customdata=[
            [written(*map(finite, one[:3])), f"{one.n:,}" if one.n else "–"] for _, one in there
        ],
        hovertemplate=f"{plain(band.name)} at t = %{{x:.2f}}: %{{customdata[0]}}, "
        "n = %{customdata[1]}<extra></extra>",
        # What lies on the border, as 100% does, is drawn whole.
        cliponaxis=False,
        row=1,
        col=column,
    )
    return True


def table(info: BandsInfo) -> pd.DataFrame:
    """What is drawn, one row per panel, line and t."""
    return pd.DataFrame(
        [
            {
                "route": panel.title,
                "line": band.name,
                "t": t,
                "value": one.value,
                "low": one.low,
                "high": one.high,
                "n": one.n or None,
            }
            for panel in info.panels
            for band in panel.bands
            for t, one in zip(info.times, band.values, strict=False)
        ],
        columns=["route", "line", "t", "value", "low", "high", "n"],
    )
