"""One number per run with its interval: quality, cost."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.figures.look import Look, base_figure, plain, run_style

__all__ = ["Dot", "DotsInfo", "dots_info", "figure", "overlap", "table"]


class Dot(NamedTuple):
    """A number, its 95% interval (nan without one) and the samples behind it."""

    label: str
    place: int
    value: float
    low: float
    high: float
    n: int


class DotsInfo(NamedTuple):
    """A number of several runs.

    Arguments:
        better: "lower", "higher" or "" where neither is better.
        ranked: labels from best to worst where every interval is apart and n is the same, else ().
    """

    name: str
    title: str
    note: str
    better: str
    dots: tuple[Dot, ...]
    ranked: tuple[str, ...]


def dots_info(
    name: str, title: str, dots: Sequence[Dot], *, note: str = "", better: str = ""
) -> DotsInfo:
    """The numbers, and their ranking if they allow one: overlapping intervals are not ranked."""
    ranked: tuple[str, ...] = ()
    alike = len({dot.n for dot in dots}) == 1
    if better and alike and len(dots) > 1 and not overlap(dots):
        order = sorted(dots, key=lambda dot: dot.value, reverse=better == "higher")
        ranked = tuple(dot.label for dot in order)
    return DotsInfo(name, title, note, better, tuple(dots), ranked)


def overlap(dots: Sequence[Dot]) -> bool:
    """Whether any two intervals touch; a missing interval touches everything."""
    if any(not np.isfinite([dot.value, dot.low, dot.high]).all() for dot in dots):
        return True
    order = sorted(dots, key=lambda dot: dot.low)
    return any(a.high >= b.low for a, b in itertools.pairwise(order))


def figure(info: DotsInfo, look: Look) -> go.Figure:
    """Dots with whiskers, a row per run, the number written under its name."""
    chart = base_figure(look, height=76 + 46 * len(info.dots))
    for row, dot in enumerate(info.dots):
        style = run_style(dot.place, look)
        bars = None
        if np.isfinite([dot.low, dot.high]).all():
            bars = {
                "type": "data",
                "array": [max(dot.high - dot.value, 0)],
                "arrayminus": [max(dot.value - dot.low, 0)],
                "thickness": 1.6,
                "width": 5,
                "color": style.colour,
            }
        chart.add_scatter(
            x=[dot.value],
            y=[row],
            error_x=bars,
            mode="markers",
            marker={
                "size": 11,
                "color": style.colour,
                "line": {"color": look.paper, "width": 1.5},
            },
            hovertemplate=f"{plain(dot.label)}: %{{x:.4~g}}<extra></extra>",
            showlegend=False,
        )
    chart.update_layout(hovermode="closest", margin={"t": 8})
    reach = [v for dot in info.dots for v in (dot.value, dot.low, dot.high) if np.isfinite(v)]
    if reach:
        low, high = min(reach), max(reach)
        # Numbers of one kind start at 0.
        low = min(0.0, low)
        chart.update_xaxes(range=[low, high + (high - low or 1.0) * 0.08])
    chart.update_xaxes(title_text=plain(info.title, 80))
    chart.update_yaxes(
        range=[len(info.dots) - 0.5, -0.5],
        showgrid=False,
        tickvals=list(range(len(info.dots))),
        ticktext=[
            f"{run_style(dot.place, look).letter}  {plain(dot.label, 26)}<br>{_written(dot)}"
            for dot in info.dots
        ],
        tickfont={"size": 12, "color": look.ink},
    )
    return chart


def _written(dot: Dot) -> str:
    if not np.isfinite(dot.value):
        return "–"
    text = f"<b>{dot.value:.3g}</b>"
    if np.isfinite([dot.low, dot.high]).all():
        text += f"  [{dot.low:.3g}, {dot.high:.3g}]"
    return text + (f"  n = {dot.n:,}" if dot.n else "")


def table(info: DotsInfo) -> pd.DataFrame:
    """What is drawn, one row per run."""
    return pd.DataFrame(
        [
            {"run": dot.label, info.name: dot.value, "low": dot.low, "high": dot.high, "n": dot.n}
            for dot in info.dots
        ]
    )
