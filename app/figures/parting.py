"""Where do two runs part? How far apart they are from the same noise, sample by sample."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import xarray as xr
from plotly.subplots import make_subplots

from app.figures.look import Look, alpha, base_figure
from app.figures.subjects import Subject, axis_of
from app.figures.time_axis import over_time
from ddm_core.intervals import wilson_interval

__all__ = [
    "DEFINITION",
    "ApartInfo",
    "PartingInfo",
    "apart_info",
    "figure",
    "parting_info",
    "relative_distance",
    "table",
]

DEFINITION = "2 |a - b| / (|a| + |b|) with images in [-1, 1], points as they are"
_NEVER = -1
_MOST_LINES = 64
_ACCENT_LIGHT, _ACCENT_DARK = "#C77700", "#FFB000"


class PartingInfo(NamedTuple):
    """Two runs over their steps.

    Arguments:
        labels: of the two runs.
        what: x0_hat where pictures were kept, else the state.
        threshold: above which a sample's two runs have parted.
        x, steps, t: where each step lies, its number in the first run, and its time [step].
        seeds: of the samples [sample].
        distance: [step, sample], relative; see DEFINITION.
        parting: number of the first step above the threshold, by sample; -1 is never.
        back: samples that parted and end below the threshold.
    """

    labels: tuple[str, str]
    what: str
    threshold: float
    axis: str
    x: np.ndarray
    steps: np.ndarray
    t: np.ndarray
    seeds: np.ndarray
    distance: np.ndarray
    parting: np.ndarray
    back: int

    @property
    def parted(self) -> int:
        """How many samples part at all."""
        return int((self.parting != _NEVER).sum())

    def by_seed(self) -> dict[int, int]:
        """The parting step of every sample, -1 is never."""
        return dict(zip(self.seeds.tolist(), self.parting.tolist(), strict=True))


class ApartInfo(NamedTuple):
    """How many of all samples end apart.

    Arguments:
        share, low, high: of the samples, with Wilson's 95% interval.
        n: samples that both runs hold.
        median: of the distances of the final samples.
    """

    share: float
    low: float
    high: float
    n: int
    median: float


def relative_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Relative distance over the last dim of [..., number]; 0 where both are 0, 2 is opposite."""
    apart = np.linalg.norm(a - b, axis=-1)
    size = np.linalg.norm(a, axis=-1) + np.linalg.norm(b, axis=-1)
    return np.divide(2 * apart, size, out=np.zeros_like(apart), where=size > 0)


def parting_info(
    first: Subject, second: Subject, *, threshold: float, axis: str = "step"
) -> PartingInfo | None:
    """Where each sample of two runs parts, or None where they share nothing that was kept.

    Runs of different lengths are compared at the steps of the first, each with the step of the
    second whose time is nearest.
    """
    what = next((n for n in ("x0_hat", "state") if all(n in s.trace for s in (first, second))), "")
    if not what:
        return None
    dim = "shown" if what == "x0_hat" else "sample"
    held = set(second.trace[dim].values.tolist())
    seeds = np.array(
        [seed for seed in first.trace[dim].values.tolist() if seed in held], dtype=int
    )
    if not len(seeds):
        return None
    t = axis_of(first.trace, "t")
    nearest = np.abs(axis_of(second.trace, "t")[None, :] - t[:, None]).argmin(axis=1)
    distance = relative_distance(
        _numbers(first.trace[what].sel({dim: seeds}), dim),
        _numbers(second.trace[what].isel(step=nearest).sel({dim: seeds}), dim),
    )
    above = distance > threshold
    parting = np.where(above.any(axis=0), above.argmax(axis=0), _NEVER)
    back = int(((parting != _NEVER) & ~above[-1]).sum())
    return PartingInfo(
        (first.label, second.label),
        what,
        threshold,
        axis,
        axis_of(first.trace, axis),
        np.arange(len(t)),
        t,
        seeds,
        distance,
        parting,
        back,
    )


def _numbers(variable: xr.DataArray, dim: str) -> np.ndarray:
    """A variable as [step, sample, number]; bytes become [-1, 1]."""
    values = np.asarray(variable.transpose("step", dim, ...).values)
    return _in_units(values.reshape(*values.shape[:2], -1))


def _in_units(values: np.ndarray) -> np.ndarray:
    bytes_ = values.dtype == np.uint8
    numbers = values.astype(np.float64)
    return numbers / 127.5 - 1 if bytes_ else numbers


def apart_info(
    first: np.ndarray,
    second: np.ndarray,
    seeds: tuple[np.ndarray, np.ndarray],
    *,
    threshold: float,
) -> ApartInfo | None:
    """How many of the final samples that two runs share are apart, or None where none is.

    Arguments:
        first, second: images uint8 or points [sample, ...].
        seeds: of both.
    """
    _, mine, yours = np.intersect1d(seeds[0], seeds[1], return_indices=True)
    if not len(mine) or first.shape[1:] != second.shape[1:]:
        return None
    a, b = (
        _in_units(x[rows].reshape(len(rows), -1)) for x, rows in ((first, mine), (second, yours))
    )
    distance = relative_distance(a, b)
    share = np.array([(distance > threshold).mean()])
    low, high = wilson_interval(share, len(distance))
    ends = float(share[0]), float(low[0]), float(high[0])
    return ApartInfo(*ends, len(distance), float(np.median(distance)))


def figure(info: PartingInfo, look: Look, *, height: int = 380) -> go.Figure:
    """Above, how many samples part at each step; below, every sample's distance over time."""
    chart = make_subplots(
        rows=2,
        cols=1,
        shared_xaxes=True,
        row_heights=[0.26, 0.74],
        vertical_spacing=0.05,
        figure=base_figure(look, height=height, cursor=info.x.tolist()),
    )
    accent = _ACCENT_DARK if look.dark else _ACCENT_LIGHT
    counts = np.array([(info.parting == step).sum() for step in info.steps])
    some = counts > 0
    # Stems and not bars: steps lie unevenly on a logarithmic axis, and bars have one width.
    chart.add_scatter(
        x=np.repeat(info.x[some], 3),
        y=np.stack((np.zeros(some.sum()), counts[some], np.full(some.sum(), np.nan)), 1).ravel(),
        mode="lines",
        line={"color": accent, "width": 4},
        hoverinfo="skip",
        showlegend=False,
        row=1,
        col=1,
    )
    chart.add_scatter(
        x=info.x[some],
        y=counts[some],
        mode="markers",
        marker={"size": 6, "color": accent},
        customdata=info.steps[some],
        hovertemplate="%{y} part at step %{customdata}<extra></extra>",
        showlegend=False,
        row=1,
        col=1,
    )
    _distances(chart, info, look, accent)
    over_time(chart, info.axis, info.x)
    chart.update_xaxes(title_text="", row=1)
    chart.update_yaxes(title_text="part here", rangemode="tozero", nticks=3, row=1)
    chart.update_yaxes(title_text="relative distance", rangemode="tozero", row=2)
    chart.update_layout(hovermode="closest", margin={"t": 30}, legend={"y": 1.01})
    return chart


def _distances(chart: go.Figure, info: PartingInfo, look: Look, accent: str) -> None:
    """A line per sample, or where they are too many their median and middle 80%."""
    places = {"row": 2, "col": 1}
    count = len(info.seeds)
    if count <= _MOST_LINES:
        gap = np.full((1, count), np.nan)
        chart.add_scatter(
            x=np.tile(np.append(info.x, np.nan), count),
            y=np.concatenate((info.distance, gap)).T.ravel(),
            customdata=np.repeat(info.seeds, len(info.x) + 1),
            mode="lines",
            line={"color": alpha(look.muted, 0.55), "width": 1},
            name="one sample",
            hovertemplate="sample %{customdata}: %{y:.3f}<extra></extra>",
            **places,
        )
    else:
        low, high = np.quantile(info.distance, (0.1, 0.9), axis=1)
        chart.add_scatter(
            x=np.concatenate((info.x, info.x[::-1])),
            y=np.concatenate((high, low[::-1])),
            mode="lines",
            fill="toself",
            fillcolor=alpha(look.muted, 0.22),
            line={"width": 0},
            name="middle 80%",
            hoverinfo="skip",
            **places,
        )
    chart.add_scatter(
        x=info.x,
        y=np.median(info.distance, axis=1),
        mode="lines",
        line={"color": look.ink, "width": 2.2},
        name=f"median of {count:,}",
        hovertemplate="median %{y:.3f}<extra></extra>",
        **places,
    )
    parted = np.flatnonzero(info.parting != _NEVER)
    if len(parted) and count <= _MOST_LINES:
        at = info.parting[parted]
        chart.add_scatter(
            x=info.x[at],
            y=info.distance[at, parted],
            customdata=np.stack((info.seeds[parted], at), axis=1),
            mode="markers",
            marker={"size": 8, "color": accent, "line": {"color": look.paper, "width": 1.2}},
            name="parting",
            hovertemplate="sample %{customdata[0]} parts at step %{customdata[1]}: %{y:.3f}"
            "<extra></extra>",
            **places,
        )
    chart.add_scatter(
        x=[info.x.min(), info.x.max()],
        y=[info.threshold] * 2,
        mode="lines",
        line={"color": accent, "width": 1.4, "dash": "dash"},
        name=f"threshold {info.threshold:g}",
        hoverinfo="skip",
        **places,
    )


def table(info: PartingInfo) -> pd.DataFrame:
    """One row per sample, earliest parting first; those that never part last, without a step."""
    rank = np.where(info.parting == _NEVER, len(info.steps), info.parting)
    order = np.lexsort((info.seeds, rank))
    parted = info.parting != _NEVER
    t = np.where(parted, info.t[info.parting], np.nan)
    frame = pd.DataFrame(
        {
            "sample": info.seeds,
            "parting_step": pd.array(np.where(parted, info.parting, 0), dtype="Int64"),
            "t": t,
            "distance_first": info.distance[0],
            "distance_last": info.distance[-1],
            "distance_most": info.distance.max(axis=0),
            "threshold": info.threshold,
        }
    )
    frame.loc[~parted, "parting_step"] = pd.NA
    return (
        frame.iloc[order].reset_index(drop=True).assign(run_a=info.labels[0], run_b=info.labels[1])
    )
