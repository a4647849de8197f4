"""Systems whose samples are points: their clusters, and every point's way from noise to data."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from app.figures.look import Look, alpha, base_figure, expert_colour

__all__ = ["CloudInfo", "PathsInfo", "cloud", "cloud_info", "figure", "paths_info", "table"]

_MOST_PATHS = 200


class CloudInfo(NamedTuple):
    """Points drawn from each cluster: [expert, point, 2]."""

    points: np.ndarray


class PathsInfo(NamedTuple):
    """Ways of points through the plane.

    Arguments:
        state: [step, sample, 2]
        leader: the expert with the largest weight, int [step, sample]; -1 where nobody is known.
        seeds: [sample]
        focus: seed, or None.
    """

    state: np.ndarray
    leader: np.ndarray
    seeds: np.ndarray
    focus: int | None


def cloud_info(centres: np.ndarray, spread: float, *, each: int = 60) -> CloudInfo:
    """A few points of every Gaussian cluster; the same every time."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((len(centres), each, 2))
    return CloudInfo(centres[:, None, :] + spread * noise)


def cloud(info: CloudInfo, look: Look, *, height: int = 220) -> go.Figure:
    """The clusters, one colour per expert."""
    chart = base_figure(look, height=height)
    for k, points in enumerate(info.points):
        chart.add_scatter(
            x=points[:, 0],
            y=points[:, 1],
            mode="markers",
            name=f"expert {k}",
            marker={"size": 4, "color": alpha(expert_colour(k), 0.75)},
            hoverinfo="name",
        )
    chart.update_layout(hovermode="closest", showlegend=False, margin={"t": 4, "b": 4})
    chart.update_xaxes(visible=False)
    chart.update_yaxes(visible=False, scaleanchor="x")
    return chart


def paths_info(trace: xr.Dataset, *, focus: int | None = None) -> PathsInfo:
    """Numbers of the variable state [step, sample, coordinate] of a trace."""
    state = np.asarray(trace["state"].transpose("step", "sample", "coordinate").values)
    state = state[:, :_MOST_PATHS, :2].astype(np.float64)
    leader = np.full(state.shape[:2], -1)
    if "weights" in trace and trace.sizes.get("expert", 1) > 1:
        weights = np.asarray(trace["weights"].transpose("step", "sample", "expert").values)
        leader = weights[:, : state.shape[1]].argmax(axis=2)
    return PathsInfo(state, leader, trace["sample"].values[: state.shape[1]], focus)


def figure(info: PathsInfo, look: Look, *, height: int = 460) -> go.Figure:
    """Every way as a thin line, a dot at its end in the colour of the last expert asked."""
    chart = base_figure(look, height=height)
    steps, samples, _ = info.state.shape
    gap = np.full((1, samples, 2), np.nan)
    joined = np.concatenate((info.state, gap)).transpose(1, 0, 2).reshape(-1, 2)
    chart.add_scatter(
        x=joined[:, 0],
        y=joined[:, 1],
        mode="lines",
        line={"width": 0.7, "color": alpha("#8894A3", 0.45)},
        hoverinfo="skip",
        showlegend=False,
    )
    last = info.leader[-1]
    for k in sorted(set(last.tolist())):
        mine = last == k
        chart.add_scatter(
            x=info.state[-1, mine, 0],
            y=info.state[-1, mine, 1],
            mode="markers",
            name=f"expert {k}" if k >= 0 else "samples",
            marker={"size": 6, "color": expert_colour(k) if k >= 0 else look.ink},
            text=[f"seed {seed}" for seed in info.seeds[mine]],
            hoverinfo="text+name",
        )
    if info.focus is not None and info.focus in info.seeds:
        row = list(info.seeds).index(info.focus)
        chart.add_scatter(
            x=info.state[:, row, 0],
            y=info.state[:, row, 1],
            mode="lines+markers",
            name="sample in focus",
            line={"width": 1.4, "color": look.ink},
            marker={
                "size": 5,
                "color": [
                    expert_colour(int(k)) if k >= 0 else look.ink for k in info.leader[:, row]
                ],
            },
            text=[f"step {i}" for i in range(steps)],
            hoverinfo="text",
        )
    chart.update_layout(hovermode="closest")
    chart.update_yaxes(scaleanchor="x")
    return chart


def table(info: PathsInfo) -> pd.DataFrame:
    """What is drawn, one row per step and sample."""
    steps, samples, _ = info.state.shape
    return pd.DataFrame(
        {
            "step": np.repeat(np.arange(steps), samples),
            "sample": np.tile(info.seeds, steps),
            "x": info.state[..., 0].ravel(),
            "y": info.state[..., 1].ravel(),
            "leading_expert": info.leader.ravel(),
        }
    )
