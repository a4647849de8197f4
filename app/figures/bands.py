"""Lines with bands over the noise level, side by side on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.figures.claims import finite, written
from app.figures.look import Look, alpha, base_figure, plain
from ddm_core.summary import Estimate

__all__ = [
    "CHANCE",
    "CHOSEN",
    "OTHERS",
    "Band",
    "BandsInfo",
    "Panel",
    "as_band",
    "figure",
    "table",
]

#: What the colours stand for, on every page of the audit.
CHOSEN, OTHERS, THIRD, CHANCE = "chosen", "others", "third", "chance"
_COLOURS = {CHOSEN: "#0072B2", OTHERS: "#D55E00", THIRD: "#009E73"}
_DASHES = {CHOSEN: "solid", OTHERS: "dash", THIRD: "dashdot", CHANCE: "dot"}
_HEIGHT = 290


class Band(NamedTuple):
    """One line: a value at each t, with an interval where it has one.

    Arguments:
        name: as the legend has it.
        role: which colour and dash: CHOSEN, OTHERS, THIRD or CHANCE.
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
        times: noise levels of the values; 1 is noise, 0 is data.
        unit: what the y axis shows.
        share: whether values are shares, drawn from 0 to 1.
        zero: whether 0 means no difference, and is drawn.
    """

    times: tuple[float, ...]
    panels: tuple[Panel, ...]
    unit: str
    share: bool = False
    zero: bool = False


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


def figure(info: BandsInfo, look: Look) -> go.Figure:
    """Panels side by side; time runs from noise to data, as sampling does."""
    titles = [plain(panel.title) for panel in info.panels]
    chart = base_figure(look, height=_HEIGHT + 24)
    grid = make_subplots(
        rows=1,
        cols=max(1, len(info.panels)),
        shared_yaxes=True,
        subplot_titles=titles,
        horizontal_spacing=0.03,
    )
    grid.update_layout(chart.layout)
    told: set[str] = set()
    for column, panel in enumerate(info.panels, start=1):
        for band in panel.bands:
            _line(grid, info, band, look, column, legend=band.name not in told)
            told.add(band.name)
    if info.zero:
        grid.add_hline(y=0, line={"color": look.muted, "width": 1})
    grid.update_xaxes(range=[1.02, -0.02], title_text="t (1 noise, 0 data)", tickvals=[1, 0.5, 0])
    if info.share:
        grid.update_yaxes(range=[-0.03, 1.03], tickformat=".0%")
    grid.update_yaxes(title_text=info.unit, col=1)
    grid.update_annotations(font={"size": 12.5, "color": look.ink})
    grid.update_layout(
        showlegend=True,
        legend={"orientation": "h", "y": 1.14, "yanchor": "bottom", "x": 0, "xanchor": "left"},
        margin={"t": 70, "l": 8, "r": 8, "b": 8},
        hovermode="x unified" if len(info.panels) == 1 else "closest",
    )
    return grid


def _line(
    chart: go.Figure, info: BandsInfo, band: Band, look: Look, column: int, *, legend: bool
) -> None:
    colour = _COLOURS.get(band.role, look.muted)
    there = [
        (t, one) for t, one in zip(info.times, band.values, strict=True) if one.value is not None
    ]
    if not there:
        return
    times = [t for t, _ in there]
    ends = [(t, one.low, one.high) for t, one in there if one.low is not None]
    if ends:
        chart.add_scatter(
            x=[t for t, _, _ in ends] + [t for t, _, _ in reversed(ends)],
            y=[high for _, _, high in ends] + [low for _, low, _ in reversed(ends)],
            fill="toself",
            fillcolor=alpha(colour, 0.18),
            line={"width": 0},
            hoverinfo="skip",
            showlegend=False,
            row=1,
            col=column,
        )
    chart.add_scatter(
        x=times,
        y=[one.value for _, one in there],
        mode="lines",
        name=plain(band.name),
        legendgroup=plain(band.name),
        showlegend=legend,
        line={"color": colour, "width": 2, "dash": _DASHES.get(band.role, "solid")},
        customdata=[
            [written(*map(finite, one[:3])), f"{one.n:,}" if one.n else "–"] for _, one in there
        ],
        hovertemplate=f"{plain(band.name)} at t = %{{x:.2f}}: %{{customdata[0]}}, "
        "n = %{customdata[1]}<extra></extra>",
        row=1,
        col=column,
    )


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
            for t, one in zip(info.times, band.values, strict=True)
        ],
        columns=["route", "line", "t", "value", "low", "high", "n"],
    )
