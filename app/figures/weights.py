"""Who is asked, over time: the mean weight of every expert, stacked, a panel per run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.figures.look import (
    Look,
    alpha,
    base_figure,
    expert_colour,
    expert_pattern,
    plain,
    run_style,
)
from app.figures.subjects import Subject, axis_of, measured, together
from app.figures.time_axis import over_time

__all__ = ["Panel", "WeightsInfo", "figure", "table", "weights_info"]


class Panel(NamedTuple):
    """One run.

    Arguments:
        mean: over samples, [step, expert]; rows sum to 1.
        switches: changes of the leading expert per sample, mean over samples.
        n: samples.
    """

    label: str
    place: int
    x: np.ndarray
    t: np.ndarray
    mean: np.ndarray
    switches: float
    n: int


class WeightsInfo(NamedTuple):
    """All panels.

    Arguments:
        sample: the seed whose own weights these are, or None for the mean over all samples.
    """

    axis: str
    panels: tuple[Panel, ...]
    sample: int | None


def weights_info(
    subjects: Sequence[Subject],
    *,
    name: str = "weights",
    sample: int | None = None,
    axis: str = "step",
) -> WeightsInfo:
    """Mean weights of every subject that holds them with more than one expert.

    Raises:
        KeyError: no subject holds them.
    """
    if not together(subjects, name):
        raise KeyError(name)
    panels: list[Panel] = []
    for index, subject in enumerate(subjects):
        if name not in subject.trace or subject.trace.sizes.get("expert", 1) < 2:
            continue
        variable = subject.trace[name]
        if sample is not None:
            variable = variable.sel(sample=[sample])
        values = measured(variable)
        leader = values.argmax(axis=2)
        switches = float((np.diff(leader, axis=0) != 0).sum(axis=0).mean())
        panels.append(
            Panel(
                subject.label,
                index,
                axis_of(subject.trace, axis),
                axis_of(subject.trace, "t"),
                values.mean(axis=1),
                switches,
                values.shape[1],
            )
        )
    return WeightsInfo(axis, tuple(panels), sample)


def figure(info: WeightsInfo, look: Look, *, height: int = 250) -> go.Figure:
    """Stacked areas; the legend is the experts' colours."""
    count = max(len(info.panels), 1)
    columns = count if count < 4 else 2
    lines = -(-count // columns)
    base = base_figure(look, height=height if lines == 1 else int(height * 1.7))
    chart = make_subplots(
        rows=lines,
        cols=columns,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        vertical_spacing=0.2,
        subplot_titles=[_title(panel, look, count) for panel in info.panels],
        figure=base,
    )
    if info.panels:
        # Runs of other lengths have steps of their own: a list for each panel.
        chart.update_layout(meta={"cursor": [panel.x.tolist() for panel in info.panels]})
    experts = max((panel.mean.shape[1] for panel in info.panels), default=0)
    for column, panel in enumerate(info.panels):
        for k in range(panel.mean.shape[1]):
            chart.add_scatter(
                x=panel.x,
                y=panel.mean[:, k],
                name=f"expert {k}",
                legendgroup=str(k),
                showlegend=column == 0 and experts <= 32,
                stackgroup=str(column),
                mode="lines",
                line={"width": 0.5, "color": expert_colour(k)},
                fillcolor=alpha(expert_colour(k), 0.82),
                fillpattern={"shape": expert_pattern(k), "size": 5} if expert_pattern(k) else None,
                hovertemplate="%{y:.3f}",
                row=column // columns + 1,
                col=column % columns + 1,
            )
    chart.update_yaxes(range=[0, 1], tickvals=[0, 0.5, 1], showgrid=False)
    chart.update_xaxes(showgrid=False)
    if info.panels:
        over_time(chart, info.axis, info.panels[0].x)
    chart.update_yaxes(title_text="mean weight" if info.sample is None else "weight", col=1)
    chart.update_annotations(font={"size": 12, "color": look.ink})
    chart.update_layout(
        margin={"t": 30 if count > 1 else 10, "b": 8},
        legend={"y": -0.32 / lines, "yanchor": "top", "traceorder": "normal"},
    )
    return chart


def _title(panel: Panel, look: Look, count: int) -> str:
    """Who it is; nothing where there is nobody to tell it from."""
    return f"{run_style(panel.place, look).letter}  {plain(panel.label, 32)}" if count > 1 else ""


def table(info: WeightsInfo) -> pd.DataFrame:
    """What is drawn, one row per run, step and expert."""
    parts: list[pd.DataFrame] = []
    for panel in info.panels:
        steps, experts = panel.mean.shape
        parts.append(
            pd.DataFrame(
                {
                    "run": panel.label,
                    "step": np.repeat(np.arange(steps), experts),
                    "t": np.repeat(panel.t, experts),
                    "expert": np.tile(np.arange(experts), steps),
                    "weight": panel.mean.ravel(),
                    "n": panel.n,
                }
            )
        )
    if not parts:
        return pd.DataFrame(columns=["run", "step", "t", "expert", "weight", "n"])
    return pd.concat(parts, ignore_index=True)
