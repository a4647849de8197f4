"""A default figure for any variable, chosen by its dims: what a new probe gets for nothing."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go
import xarray as xr

from app.figures import heatmap, points, series
from app.figures.look import Look
from app.figures.subjects import Subject
from ddm_core.trace import PICTURE_DIMS

__all__ = ["Drawn", "draw", "drawable"]


class Drawn(NamedTuple):
    """A figure with its numbers and what it shows, in words."""

    figure: go.Figure
    table: pd.DataFrame
    says: str


def drawable(trace: xr.Dataset) -> list[str]:
    """The variables that have a figure here, in the trace's order; pictures have their own."""
    return [
        str(name)
        for name, variable in trace.data_vars.items()
        if "step" in variable.dims
        and not set(variable.dims) & {*PICTURE_DIMS, "shown"}
        and len(variable.dims) <= 3
    ]


def draw(
    subject: Subject,
    name: str,
    look: Look,
    *,
    focus: int | None = None,
    axis: str = "step",
    chosen: Collection[int] = (),
) -> Drawn:
    """[step] and [step, sample]: lines. [step, sample, other] and [step, other]: a heatmap."""
    dims = set(subject.trace[name].dims)
    if dims == {"step", "sample", "coordinate"}:
        info = points.paths_info(subject.trace, focus=focus)
        return Drawn(points.figure(info, look), points.table(info), "way of every sample")
    if dims <= {"step", "sample"}:
        lines = series.series_info([subject], name, focus=focus, axis=axis, chosen=chosen)
        return Drawn(series.figure(lines, look), series.table(lines), lines.statistic)
    cells = heatmap.heatmap_info(subject.trace, name, sample=focus, axis=axis)
    says = "mean over samples" if focus is None else f"sample {focus}"
    return Drawn(heatmap.figure(cells, look), heatmap.table(cells), says)
