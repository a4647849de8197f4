"""How long an expert keeps the lead, and how often the lead changes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.figures.leaders import LeadersPanel
from app.figures.look import Look, alpha, base_figure, expert_colour, plain, run_style
from ddm_core.analysis.switching import dwells
from ddm_core.intervals import Estimate

__all__ = [
    "DwellInfo",
    "Stay",
    "SwitchesInfo",
    "dwell_info",
    "figure",
    "switches_figure",
    "switches_info",
    "switches_table",
    "table",
]

_QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


class Stay(NamedTuple):
    """The stretches of steps that one expert leads, of one run.

    Arguments:
        quantiles: of their lengths in steps, at 10, 25, 50, 75 and 90%; nan where there is none.
        mean: of the lengths.
        n: stretches.
        lasting: share of them that last until the data: nobody took over any more.
    """

    expert: int
    quantiles: np.ndarray
    mean: float
    n: int
    lasting: float


class DwellInfo(NamedTuple):
    """All runs.

    Arguments:
        runs: label, place and the stays of the experts.
        steps: of the longest run.
    """

    runs: tuple[tuple[str, int, tuple[Stay, ...]], ...]
    steps: int


class SwitchesInfo(NamedTuple):
    """Changes of the leader per sample.

    Arguments:
        runs: label, place, share of samples by number of changes [change], and the mean.
    """

    runs: tuple[tuple[str, int, np.ndarray, Estimate], ...]


def dwell_info(panels: Sequence[LeadersPanel]) -> DwellInfo:
    """Lengths of the stretches of every expert."""
    runs: list[tuple[str, int, tuple[Stay, ...]]] = []
    for panel in panels:
        found = dwells(panel.who.expert)
        stays: list[Stay] = []
        for k in range(panel.who.experts):
            mine = found.expert == k
            lengths = found.length[mine]
            none = not len(lengths)
            stays.append(
                Stay(
                    k,
                    np.full(5, np.nan) if none else np.quantile(lengths, _QUANTILES),
                    np.nan if none else float(lengths.mean()),
                    len(lengths),
                    np.nan if none else float((~found.ended[mine]).mean()),
                )
            )
        runs.append((panel.label, panel.place, tuple(stays)))
    return DwellInfo(tuple(runs), max(len(panel.who.expert) for panel in panels))


def figure(info: DwellInfo, look: Look) -> go.Figure:
    """A row per expert: thin is the middle 80% of its stretches, thick half, a dot the median."""
    experts = max(len(stays) for _, _, stays in info.runs)
    count = len(info.runs)
    chart = make_subplots(
        rows=1,
        cols=count,
        shared_yaxes=True,
        horizontal_spacing=0.04,
        subplot_titles=[
            f"{run_style(place, look).letter}  {plain(label, 28)}" if count > 1 else ""
            for label, place, _ in info.runs
        ],
        figure=base_figure(look, height=min(max(110 + 26 * experts, 220), 720)),
    )
    for column, (_, _, stays) in enumerate(info.runs):
        for stay in stays:
            if not stay.n:
                continue
            colour = expert_colour(stay.expert)
            low, first, middle, third, high = stay.quantiles
            for ends, width, shade in (((low, high), 2, 0.7), ((first, third), 8, 0.45)):
                chart.add_scatter(
                    x=list(ends),
                    y=[stay.expert] * 2,
                    mode="lines",
                    line={"color": alpha(colour, shade), "width": width},
                    hoverinfo="skip",
                    showlegend=False,
                    row=1,
                    col=column + 1,
                )
            chart.add_scatter(
                x=[middle],
                y=[stay.expert],
                mode="markers",
                marker={"size": 10, "color": colour, "line": {"color": look.paper, "width": 1.5}},
                hovertemplate=f"expert {stay.expert}: median {middle:g} steps, mean "
                f"{stay.mean:.3g}, {stay.n:,} stretches, {stay.lasting:.0%} of them last until "
                "the data<extra></extra>",
                showlegend=False,
                row=1,
                col=column + 1,
            )
    chart.update_xaxes(range=[0, info.steps + 1], title_text="steps in a row")
    every = 1 if experts <= 16 else 4
    ticks = list(range(0, experts, every))
    chart.update_yaxes(
        range=[experts - 0.5, -0.5],
        showgrid=False,
        tickvals=ticks,
        ticktext=[f"expert {k}" for k in ticks],
    )
    chart.update_annotations(font={"size": 12, "color": look.ink})
    chart.update_layout(hovermode="closest", margin={"t": 30 if count > 1 else 8})
    return chart


def table(info: DwellInfo) -> pd.DataFrame:
    """A row per run and expert."""
    return pd.DataFrame(
        [
            {
                "run": label,
                "expert": stay.expert,
                "stretches": stay.n,
                "mean": stay.mean,
                **{f"q{int(100 * q)}": v for q, v in zip(_QUANTILES, stay.quantiles, strict=True)},
                "last_until_the_data": stay.lasting,
            }
            for label, _, stays in info.runs
            for stay in stays
        ]
    )


def switches_info(panels: Sequence[LeadersPanel]) -> SwitchesInfo:
    """How many samples change their leader how often."""
    return SwitchesInfo(
        tuple(
            (
                panel.label,
                panel.place,
                np.bincount(panel.who.switches) / max(len(panel.who.seeds), 1),
                panel.switches,
            )
            for panel in panels
        )
    )


def switches_figure(info: SwitchesInfo, look: Look) -> go.Figure:
    """Bars side by side, a run's in its own colour; the legend has the means."""
    chart = base_figure(look, height=270 + 22 * len(info.runs))
    most = max(len(shares) for _, _, shares, _ in info.runs)
    for label, place, shares, mean in info.runs:
        style = run_style(place, look)
        chart.add_bar(
            x=np.arange(len(shares)),
            y=shares,
            name=f"{style.letter}  {plain(label, 26)}: {_written(mean)}",
            marker={"color": alpha(style.colour, 0.85), "line": {"width": 0}},
            hovertemplate="%{y:.1%} of the samples change %{x} times<extra></extra>",
        )
    chart.update_xaxes(
        title_text="changes of the leading expert per sample",
        range=[-0.6, most - 0.4],
        dtick=1 if most <= 20 else None,
        showgrid=False,
    )
    chart.update_yaxes(title_text="share of samples", tickformat=".0%", rangemode="tozero")
    above = {"orientation": "v", "x": 0, "xanchor": "left", "y": 1.03, "yanchor": "bottom"}
    chart.update_layout(hovermode="closest", bargap=0.25, margin={"t": 8}, legend=above)
    return chart


def _written(mean: Estimate) -> str:
    if mean.value is None:
        return "–"
    text = f"mean {mean.value:.2f}"
    if mean.low is not None and mean.high is not None:
        text += f" [{mean.low:.2f}, {mean.high:.2f}]"
    return f"{text}, n = {mean.n:,}"


def switches_table(info: SwitchesInfo) -> pd.DataFrame:
    """A row per run and number of changes."""
    return pd.DataFrame(
        [
            {
                "run": label,
                "changes": changes,
                "share": float(share),
                "mean": mean.value,
                "low": mean.low,
                "high": mean.high,
                "n": mean.n,
            }
            for label, _, shares, mean in info.runs
            for changes, share in enumerate(shares)
        ]
    )
