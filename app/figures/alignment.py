"""Are the chosen experts the near ones? Their cluster distance, that of the others, and chance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from app.figures.look import Look, alpha, base_figure, plain, run_style
from app.figures.subjects import Band, Subject, axis_of, band, measured, rows
from app.figures.time_axis import over_time
from ddm_core.intervals import Z

__all__ = ["AlignmentInfo", "Panel", "alignment_info", "chosen_and_not", "figure", "table"]


class Panel(NamedTuple):
    """One run.

    Arguments:
        chosen: distance weighted by the weights; what the route picked.
        others: mean distance of the experts with weight 0; n = 0 where every expert has a weight.
        chance: mean distance over all experts: what picking blindly expects.
        gain: mean of (chance - chosen) / chance over samples and steps, and its 95% interval over
            samples (normal).
    """

    label: str
    place: int
    x: np.ndarray
    t: np.ndarray
    chosen: Band
    others: Band
    chance: Band
    gain: tuple[float, float, float]


class AlignmentInfo(NamedTuple):
    """All panels, with the definition of distance that they use."""

    name: str
    definition: str
    axis: str
    panels: tuple[Panel, ...]


def chosen_and_not(
    weights: np.ndarray, distance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances [step, sample] of chosen, not-chosen and all experts.

    Arguments:
        weights, distance: [step, sample, expert].
    """
    chosen = (weights * distance).sum(axis=2)
    idle = weights <= 0
    count = idle.sum(axis=2)
    total = np.where(idle, distance, 0.0).sum(axis=2)
    others = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return chosen, others, distance.mean(axis=2)


def alignment_info(
    subjects: Sequence[Subject], *, name: str = "cluster_distance", axis: str = "step"
) -> AlignmentInfo:
    """Numbers of every subject that holds weights and the distance `name` of the same experts.

    Raises:
        KeyError: no subject holds both.
    """
    panels: list[Panel] = []
    definition = ""
    for index, subject in enumerate(subjects):
        trace = subject.trace
        # A monolith has one weight and no cluster of its own.
        if not {name, "weights"} <= set(trace.data_vars) or trace.sizes.get("expert", 1) < 2:
            continue
        definition = definition or str(trace[name].attrs.get("definition", ""))
        both = rows(trace[name]) & rows(trace["weights"])
        seeds = trace["sample"].values[both]
        weights = measured(trace["weights"].sel(sample=seeds))
        distance = measured(trace[name].sel(sample=seeds))
        chosen, others, chance = chosen_and_not(weights, distance)
        gain = ((chance - chosen) / chance).mean(axis=0)
        half = Z * gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else np.nan
        mean = float(gain.mean()) if len(gain) else np.nan
        has_others = np.isfinite(others).any(axis=0)
        panels.append(
            Panel(
                subject.label,
                index,
                axis_of(trace, axis),
                axis_of(trace, "t"),
                band(chosen),
                band(others[:, has_others]),
                band(chance),
                (mean, mean - half, mean + half),
            )
        )
    if not panels:
        raise KeyError(name)
    return AlignmentInfo(name, definition, axis, tuple(panels))


def figure(info: AlignmentInfo, look: Look, *, height: int = 270) -> go.Figure:
    """A panel per run: chosen in the run's colour, the others grey, chance dotted."""
    count = len(info.panels)
    chart = make_subplots(
        rows=1,
        cols=count,
        shared_yaxes=True,
        horizontal_spacing=0.03,
        subplot_titles=[
            f"{run_style(p.place, look).letter + '  ' if count > 1 else ''}{plain(p.label, 28)}"
            for p in info.panels
        ],
        figure=base_figure(look, height=height, cursor=[p.x.tolist() for p in info.panels]),
    )
    for column, panel in enumerate(info.panels, start=1):
        style = run_style(panel.place, look)
        kinds = (
            ("not chosen", panel.others, look.muted, "solid", 0.1),
            ("chance", panel.chance, look.muted, "dot", 0.0),
            ("chosen", panel.chosen, style.colour, "solid", 0.16),
        )
        for kind, values, colour, dash, fill in kinds:
            if values.n == 0:
                continue
            if fill:
                chart.add_scatter(
                    x=np.concatenate((panel.x, panel.x[::-1])),
                    y=np.concatenate((values.high, values.low[::-1])),
                    mode="lines",
                    fill="toself",
                    fillcolor=alpha(colour, fill),
                    line={"width": 0},
                    hoverinfo="skip",
                    showlegend=False,
                    row=1,
                    col=column,
                )
            chart.add_scatter(
                x=panel.x,
                y=values.median,
                name=kind,
                mode="lines",
                line={"color": colour, "width": 2.4 if kind == "chosen" else 1.4, "dash": dash},
                hovertemplate="%{y:.4~g}",
                legendgroup=kind,
                showlegend=column == 1,
                row=1,
                col=column,
            )
    over_time(chart, info.axis, info.panels[0].x)
    chart.update_yaxes(title_text="distance", col=1)
    chart.update_annotations(font={"size": 12, "color": look.ink})
    chart.update_layout(margin={"t": 30}, legend={"y": -0.3, "yanchor": "top"})
    return chart


def table(info: AlignmentInfo) -> pd.DataFrame:
    """What is drawn, one row per run and step."""
    parts: list[pd.DataFrame] = []
    for panel in info.panels:
        parts.append(
            pd.DataFrame(
                {
                    "run": panel.label,
                    "step": np.arange(len(panel.x)),
                    "t": panel.t,
                    "chosen": panel.chosen.median,
                    "chosen_low": panel.chosen.low,
                    "chosen_high": panel.chosen.high,
                    "not_chosen": panel.others.median,
                    "chance": panel.chance.median,
                    "n": panel.chosen.n,
                }
            )
        )
    return pd.concat(parts, ignore_index=True)
