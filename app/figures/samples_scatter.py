"""A run's samples by two of their numbers, a point each: do the two go together, and for whom?"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.figures.claims import finite, written
from app.figures.look import Look, base_figure, expert_colour
from app.figures.subjects import Subject, long_name
from ddm_core.analysis.subset import by_sample
from ddm_core.intervals import Estimate
from ddm_core.ranks import rank_correlation

__all__ = ["NOBODY", "SamplesInfo", "figure", "samples_info", "says", "table"]

#: The expert of samples that one model made alone.
NOBODY = -1
#: As many shapes are drawn at once by any browser; more of them go to the graphics card.
_SHAPES = 4000
_UNCHOSEN = 0.25


class SamplesInfo(NamedTuple):
    """The samples of which both numbers were measured.

    Arguments:
        x, y: names of the variables.
        titles: of both, in words with their units.
        seeds: [sample]
        values: means over steps, [sample, 2]
        expert: that has the largest weight in the mean over steps, [sample]; NOBODY without one.
        rho: rank correlation of the two numbers over the samples.
        chosen: seeds of the selection.
        focus: seed of the sample in focus, or None.
    """

    x: str
    y: str
    titles: tuple[str, str]
    seeds: np.ndarray
    values: np.ndarray
    expert: np.ndarray
    rho: Estimate
    chosen: frozenset[int]
    focus: int | None


def samples_info(
    subject: Subject,
    x: str,
    y: str,
    *,
    chosen: Collection[int] = (),
    focus: int | None = None,
) -> SamplesInfo:
    """Two numbers of every sample of a run.

    Arguments:
        x, y: variables of step and sample, see `subset.rankable`.

    Raises:
        RequestError: the run has no such variable.
    """
    trace = subject.trace
    values = np.stack([by_sample(trace, name) for name in (x, y)], axis=1)
    expert = np.full(len(values), NOBODY)
    if "weights" in trace:
        expert = trace["weights"].mean("step").transpose("sample", "expert").values.argmax(axis=1)
    both = np.isfinite(values).all(axis=1)
    return SamplesInfo(
        x,
        y,
        (long_name(trace[x]), long_name(trace[y])),
        trace["sample"].values[both],
        values[both],
        expert[both],
        rank_correlation(values[both, 0], values[both, 1]),
        frozenset(chosen),
        focus,
    )


def says(info: SamplesInfo) -> str:
    """Whether the two numbers go together, in words."""
    rho = info.rho
    if rho.value is None:
        return f"n = {rho.n:,}: too few, or all alike, for a rank correlation."
    return f"Spearman's rho {written(*map(finite, rho[:3]))}, n = {rho.n:,}."


def figure(info: SamplesInfo, look: Look, *, height: int = 420) -> go.Figure:
    """A point per sample in the colour of the expert that was asked most.

    A lasso chooses points: the customdata of each begins with its seed.
    """
    chart = base_figure(look, height=height)
    kind = go.Scatter if len(info.seeds) <= _SHAPES else go.Scattergl
    held = np.isin(info.seeds, list(info.chosen))
    for k in np.unique(info.expert).tolist():
        mine = np.flatnonzero(info.expert == k)
        focused = info.seeds[mine] == (NOBODY if info.focus is None else info.focus)
        loud = held[mine] | focused | (not held.any())
        chart.add_trace(
            kind(
                x=info.values[mine, 0],
                y=info.values[mine, 1],
                mode="markers",
                name="one model" if k == NOBODY else f"expert {k}",
                marker={
                    "color": look.ink if k == NOBODY else expert_colour(k),
                    "size": np.where(focused, 14, 7),
                    "opacity": np.where(loud, 0.85, _UNCHOSEN),
                    "line": {
                        "color": look.ink,
                        "width": np.where(focused, 2.0, np.where(held[mine], 1.2, 0.0)),
                    },
                },
                customdata=[[seed] for seed in info.seeds[mine].tolist()],
                hovertemplate="sample %{customdata[0]}<br>%{x:.4g}, %{y:.4g}",
            )
        )
    chart.update_xaxes(title_text=info.titles[0])
    chart.update_yaxes(title_text=info.titles[1])
    chart.update_layout(
        hovermode="closest",
        dragmode="lasso",
        showlegend=True,
        legend={"itemsizing": "constant"},
        newselection={"line": {"color": look.ink, "width": 1.5}},
    )
    return chart


def table(info: SamplesInfo) -> pd.DataFrame:
    """What is drawn, one row per sample."""
    return pd.DataFrame(
        {
            "seed": info.seeds,
            info.x: info.values[:, 0],
            info.y: info.values[:, 1],
            "expert": np.where(info.expert == NOBODY, "", info.expert.astype(str)),
            "chosen": np.isin(info.seeds, list(info.chosen)),
        }
    )
