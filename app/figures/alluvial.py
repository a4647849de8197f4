"""From whom to whom samples go between a few steps: ribbons, and the same as a matrix."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.figures.look import (
    Look,
    alpha,
    base_figure,
    expert_colour,
    expert_pattern,
    on_scale,
    plain,
    scale,
)
from ddm_core.analysis.switching import Leading, transitions

__all__ = ["AlluvialInfo", "alluvial_info", "figure", "matrix", "matrix_table", "table"]

_GAP = 0.012  # between experts, as a share of all samples
_BAR = 0.035  # half the width of a stage, in stages
_CURVE = (1 - np.cos(np.linspace(0, np.pi, 25))) / 2
_MOST_SINGLE = 12  # experts whose ribbons are drawn one by one; thousands take seconds to draw
_LEAST_LABEL = 0.03  # share of the samples: less has no room for a number


class AlluvialInfo(NamedTuple):
    """Leaders of one run at a few steps.

    Arguments:
        stages: which steps, int [stage].
        t: of these steps.
        counts: samples that expert leads at the stage, int [stage, expert].
        flows: samples that i leads at a stage and j at the next, int [stage - 1, i, j].
        moves: changes from i to j over all neighbouring steps, int [i, j]; the diagonal holds the
            steps at which nothing changed.
        n: samples.
    """

    label: str
    stages: tuple[int, ...]
    t: tuple[float, ...]
    counts: np.ndarray
    flows: np.ndarray
    moves: np.ndarray
    n: int


def alluvial_info(label: str, who: Leading, stages: Sequence[int]) -> AlluvialInfo:
    """Numbers of the ribbons and of the matrix.

    Arguments:
        stages: steps, ascending; those that the run does not have are left out.
    """
    steps = len(who.expert)
    chosen = tuple(sorted({one for one in stages if 0 <= one < steps})) or (0, steps - 1)
    k = who.experts
    counts = np.stack([np.bincount(who.expert[one], minlength=k) for one in chosen])
    pairs = list(itertools.pairwise(chosen))
    flows = np.array([transitions(who.expert, k, a, b) for a, b in pairs]).reshape(-1, k, k)
    moves = np.zeros((k, k), dtype=np.int64)
    for step in range(steps - 1):
        moves += transitions(who.expert, k, step, step + 1)
    times = tuple(float(who.t[one]) for one in chosen)
    return AlluvialInfo(label, chosen, times, counts, flows, moves, len(who.seeds))


def figure(info: AlluvialInfo, look: Look, *, height: int = 360) -> go.Figure:
    """Bars are experts, as high as the samples they lead; ribbons carry samples between them."""
    chart = base_figure(look, height=height)
    top = np.stack([_tops(counts / info.n) for counts in info.counts])
    shapes: dict[tuple[int, int, int], list[np.ndarray]] = {}
    merged = info.counts.shape[1] > _MOST_SINGLE
    for stage, flow in enumerate(info.flows):
        leaves, enters = top[stage].copy(), top[stage + 1].copy()
        for i, j in zip(*np.nonzero(flow), strict=True):
            share = float(flow[i, j]) / info.n
            to = int(j) if not merged or i == j else -1
            ribbon = _ribbon(stage, leaves[i], enters[j], share)
            shapes.setdefault((stage, int(i), to), []).append(ribbon)
            leaves[i] -= share
            enters[j] -= share
    for (stage, i, j), ribbons in shapes.items():
        _ribbons(chart, info, look, stage, i, j, ribbons)
    for stage, counts in enumerate(info.counts):
        for k in np.flatnonzero(counts):
            _bar(chart, info, look, stage, int(k), top[stage, k], float(counts[k]) / info.n)
    words = ["early", *["middle"] * (len(info.stages) - 2), "late"]
    said = words if len(info.stages) == 3 else [""] * len(info.stages)
    chart.update_xaxes(
        tickvals=list(range(len(info.stages))),
        ticktext=[
            f"{word + ', ' if word else ''}step {step}<br>t = {t:.2f}"
            for word, step, t in zip(said, info.stages, info.t, strict=True)
        ],
        range=[-0.12, len(info.stages) - 0.88],
        showgrid=False,
    )
    chart.update_yaxes(visible=False, range=[-0.02, 1 + _GAP * info.counts.shape[1]])
    chart.update_layout(hovermode="closest", showlegend=False, margin={"t": 6})
    return chart


def _tops(shares: np.ndarray) -> np.ndarray:
    """Upper edges of the experts, the first on top, with a gap between those that are there."""
    gaps = _GAP * np.cumsum(shares > 0)
    whole = 1 + _GAP * np.count_nonzero(shares)
    return whole - gaps - (np.cumsum(shares) - shares)


def _ribbon(stage: int, left: float, right: float, share: float) -> np.ndarray:
    """The outline [point, 2] of a ribbon, and a gap behind it."""
    x = stage + _BAR + (1 - 2 * _BAR) * np.linspace(0, 1, len(_CURVE))
    y = left + (right - left) * _CURVE
    there, back = np.stack((x, y), axis=1), np.stack((x, y - share), axis=1)[::-1]
    return np.concatenate((there, back, np.full((1, 2), np.nan)))


def _ribbons(
    chart: go.Figure,
    info: AlluvialInfo,
    look: Look,
    stage: int,
    i: int,
    j: int,
    ribbons: list[np.ndarray],
) -> None:
    """Ribbons of one expert; j is -1 where they go to several others."""
    outline = np.concatenate(ribbons)[:-1]
    flow = info.flows[stage, i]
    count = int(flow[j] if j >= 0 else flow.sum() - flow[i])
    goes = f"stays with {j}" if i == j else f"goes to {j if j >= 0 else 'others'}"
    chart.add_scatter(
        x=outline[:, 0],
        y=outline[:, 1],
        mode="lines",
        fill="toself",
        line={"width": 0},
        fillcolor=alpha(expert_colour(i), (0.42 if i != j else 0.22) + 0.14 * look.dark),
        hoveron="fills",
        name="",
        text=f"{count:,} of {info.n:,} samples: expert {i} {goes}"
        f"<br>between step {info.stages[stage]} and {info.stages[stage + 1]}",
        hoverinfo="text",
    )


def _bar(
    chart: go.Figure, info: AlluvialInfo, look: Look, stage: int, k: int, top: float, share: float
) -> None:
    left, right = stage - _BAR, stage + _BAR
    pattern = expert_pattern(k)
    chart.add_scatter(
        x=[left, right, right, left, left],
        y=[top, top, top - share, top - share, top],
        mode="lines",
        fill="toself",
        line={"width": 0.5, "color": expert_colour(k)},
        fillcolor=expert_colour(k),
        fillpattern={"shape": pattern, "size": 5} if pattern else None,
        hoveron="fills",
        name="",
        text=f"expert {k} leads {info.counts[stage, k]:,} of {info.n:,} samples ({share:.1%}) at "
        f"step {info.stages[stage]}",
        hoverinfo="text",
    )
    if share >= _LEAST_LABEL:
        last = stage == len(info.stages) - 1
        chart.add_annotation(
            x=left if last else right,
            y=top - share / 2,
            text=f"<b>{k}</b> {share:.0%}",
            showarrow=False,
            xanchor="right" if last else "left",
            xshift=-4 if last else 4,
            font={"size": 11, "color": look.ink},
        )


def table(info: AlluvialInfo) -> pd.DataFrame:
    """A row per pair of stages and pair of experts that any sample belongs to."""
    rows = [
        {
            "run": info.label,
            "from_step": info.stages[stage],
            "to_step": info.stages[stage + 1],
            "from_expert": int(i),
            "to_expert": int(j),
            "samples": int(flow[i, j]),
            "share": float(flow[i, j]) / info.n,
            "n": info.n,
        }
        for stage, flow in enumerate(info.flows)
        for i, j in zip(*np.nonzero(flow), strict=True)
    ]
    columns = ["run", "from_step", "to_step", "from_expert", "to_expert", "samples", "share", "n"]
    return pd.DataFrame(rows, columns=columns)


def matrix(info: AlluvialInfo, look: Look) -> go.Figure:
    """Changes of the leader from row to column over all steps; who stays is not counted."""
    count = len(info.moves)
    away = np.where(np.eye(count, dtype=bool), 0, info.moves).astype(float)
    most = max(float(away.max()), 1.0)
    chart = base_figure(look, height=min(max(120 + 30 * count, 260), 560))
    chart.add_heatmap(
        z=np.where(np.eye(count, dtype=bool), np.nan, away),
        colorscale=scale(look),
        zmin=0,
        zmax=most,
        xgap=2,
        ygap=2,
        showscale=False,
        hovertemplate="%{z:,} changes from expert %{y} to %{x}<extra></extra>",
    )
    if count <= 12:
        for i, j in zip(*np.nonzero(away), strict=True):
            chart.add_annotation(
                x=int(j),
                y=int(i),
                text=f"{int(away[i, j]):,}",
                showarrow=False,
                font={"size": 11, "color": on_scale(float(away[i, j]) / most, look)},
            )
    ticks = list(range(0, count, 1 if count <= 16 else 4))
    names = [f"<b><span style='color:{expert_colour(k)}'>■</span></b> {k}" for k in ticks]
    chart.update_xaxes(
        tickvals=ticks, ticktext=names, title_text="to expert", showgrid=False, side="bottom"
    )
    chart.update_yaxes(
        tickvals=ticks,
        ticktext=names,
        title_text="from expert",
        showgrid=False,
        autorange="reversed",
    )
    chart.update_layout(hovermode="closest", margin={"t": 6}, title_text=plain(""))
    return chart


def matrix_table(info: AlluvialInfo) -> pd.DataFrame:
    """A row per pair of experts; equal ones stayed."""
    k = len(info.moves)
    return pd.DataFrame(
        {
            "run": info.label,
            "from_expert": np.repeat(np.arange(k), k),
            "to_expert": np.tile(np.arange(k), k),
            "changes": info.moves.ravel(),
            "n": info.n,
        }
    )
