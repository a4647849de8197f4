"""A variable over time, of one run or several: a line, or median and spread over samples."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.figures.look import Look, alpha, base_figure, plain, run_style
from app.figures.subjects import Subject, axis_of, band, long_name, measured, rows, together
from app.figures.time_axis import over_time
from ddm_core.intervals import wilson_interval

__all__ = ["Line", "SeriesInfo", "figure", "series_info", "table"]


class Line(NamedTuple):
    """One run's line.

    Arguments:
        label: of the run.
        place: the run's place in the comparison, which decides its letter and colour.
        middle, low, high: [step]; low and high are nan for a variable without samples.
        focus: values of the sample in focus [step], or None.
        n: samples behind it; 0 for a variable without samples.
        x, t: where its own steps lie [step]; runs may have different numbers of them.
        chosen, chosen_n: the same middle over the chosen samples alone [step], and how many of
            them were measured; None where none was.
    """

    label: str
    place: int
    middle: np.ndarray
    low: np.ndarray
    high: np.ndarray
    focus: np.ndarray | None
    n: int
    x: np.ndarray
    t: np.ndarray
    chosen: np.ndarray | None = None
    chosen_n: int = 0


class SeriesInfo(NamedTuple):
    """Lines of one variable.

    Arguments:
        x: where the steps of the longest run lie [step]; the cursor goes along them.
        statistic: what the middle and the band are, in words.
        logarithmic: whether the values span more than two decades and are all positive.
    """

    name: str
    title: str
    definition: str
    statistic: str
    axis: str
    x: np.ndarray
    lines: tuple[Line, ...]
    logarithmic: bool


def series_info(
    subjects: Sequence[Subject],
    name: str,
    *,
    focus: int | None = None,
    axis: str = "step",
    chosen: Collection[int] = (),
) -> SeriesInfo:
    """Numbers of variable `name` [step] or [step, sample] of every subject that holds it.

    Arguments:
        focus: seed of a sample to be drawn on its own.
        axis: of subjects.AXES.
        chosen: seeds of samples whose middle is drawn beside that of all.

    Raises:
        KeyError: no subject holds the variable.
    """
    holders = together(subjects, name)
    if not holders:
        raise KeyError(name)
    variable = holders[0].trace[name]
    lines: list[Line] = []
    for index, subject in enumerate(subjects):
        if name in subject.trace:
            lines.append(_line(subject, index, name, focus, axis, chosen))
    counts = {line.n for line in lines}
    many = f"{counts.pop():,} samples" if len(counts) == 1 else "samples"
    if "sample" not in variable.dims:
        statistic = "one value per step"
    elif variable.dtype == np.bool_:
        statistic = f"share of {many}, band: 95% interval (Wilson)"
    else:
        statistic = f"median over {many}, band: middle 80%"
    values = np.concatenate([line.middle for line in lines])
    values = values[np.isfinite(values)]
    wide = bool(len(values) and values.min() > 0 and values.max() > 100 * values.min())
    longest = max(holders, key=lambda subject: subject.trace.sizes["step"])
    return SeriesInfo(
        name,
        long_name(variable),
        str(variable.attrs.get("definition", "")),
        statistic,
        axis,
        axis_of(longest.trace, axis),
        tuple(lines),
        wide,
    )


def _line(
    subject: Subject,
    index: int,
    name: str,
    focus: int | None,
    axis: str,
    chosen: Collection[int],
) -> Line:
    variable = subject.trace[name]
    places = (axis_of(subject.trace, axis), axis_of(subject.trace, "t"))
    if "sample" not in variable.dims:
        values = np.asarray(variable.values, dtype=np.float64)
        nothing = np.full(len(values), np.nan)
        return Line(subject.label, index, values, nothing, nothing, None, 0, *places)
    own: np.ndarray | None = None
    seeds = subject.trace["sample"].values
    if focus is not None and focus in seeds and rows(variable)[list(seeds).index(focus)]:
        own = np.asarray(variable.sel(sample=focus).values, dtype=np.float64)
    values = measured(variable)
    some = values[:, np.isin(seeds[rows(variable)], np.asarray(list(chosen), dtype=np.int64))]
    count = some.shape[1]
    n = values.shape[1]
    if variable.dtype == np.bool_:
        middle = values.mean(axis=1)
        low, high = wilson_interval(middle, n)
        theirs = some.mean(axis=1) if count else None
    else:
        middle, low, high, n = band(values)
        theirs = band(some).median if count else None
    return Line(subject.label, index, middle, low, high, own, n, *places, theirs, count)


def figure(info: SeriesInfo, look: Look, *, height: int = 300) -> go.Figure:
    """Lines with their bands; the sample in focus is dotted."""
    chart = base_figure(look, height=height, cursor=info.x.tolist())
    several = len(info.lines) > 1
    for line in info.lines:
        style = run_style(line.place, look)
        x = line.x
        label = f"{style.letter}  {plain(line.label)}" if several else plain(info.title)
        if np.isfinite(line.low).any():
            chart.add_scatter(
                x=np.concatenate((x, x[::-1])),
                y=np.concatenate((line.high, line.low[::-1])),
                mode="lines",
                fill="toself",
                fillcolor=alpha(style.colour, 0.1 if several else 0.16),
                line={"width": 0},
                hoverinfo="skip",
                showlegend=False,
            )
        chart.add_scatter(
            x=x,
            y=line.middle,
            name=label,
            mode="lines" if len(x) > 1 else "markers",
            line={"color": style.colour, "width": 2.2, "dash": style.dash},
            hovertemplate="%{y:.4~g}",
            showlegend=several or line.focus is not None or line.chosen is not None,
        )
        if line.chosen is not None:
            letter = f"{style.letter}, " if several else ""
            chart.add_scatter(
                x=x,
                y=line.chosen,
                name=f"{letter}{line.chosen_n:,} of {line.n:,} chosen",
                mode="lines+markers",
                line={"color": style.colour, "width": 1.4},
                marker={"size": 4, "symbol": "diamond"},
                hovertemplate="%{y:.4~g}",
            )
        if line.focus is not None:
            chart.add_scatter(
                x=x,
                y=line.focus,
                name=f"{style.letter}, focus" if several else "sample in focus",
                mode="lines",
                line={"color": alpha(style.colour, 0.75), "width": 1.2, "dash": "dot"},
                hovertemplate="%{y:.4~g}",
            )
    over_time(chart, info.axis, info.x)
    chart.update_yaxes(title_text=plain(info.title))
    if not info.logarithmic and _least(info) >= 0:
        chart.update_yaxes(rangemode="tozero")
    if info.logarithmic:
        every = 1 if _decades(info) < 6 else 3
        chart.update_yaxes(type="log", exponentformat="power", dtick=every)
    return chart


def _decades(info: SeriesInfo) -> float:
    values = np.concatenate([line.middle for line in info.lines])
    values = values[np.isfinite(values)]
    return float(np.log10(values.max() / values.min()))


def _least(info: SeriesInfo) -> float:
    parts = [
        part for line in info.lines for part in (line.middle, line.low, line.focus, line.chosen)
    ]
    values = np.concatenate([part for part in parts if part is not None])
    return float(np.nanmin(values)) if np.isfinite(values).any() else 0.0


def table(info: SeriesInfo) -> pd.DataFrame:
    """What is drawn, one row per run and step."""
    parts: list[pd.DataFrame] = []
    for line in info.lines:
        count = len(line.middle)
        columns: dict[str, object] = {
            "run": line.label,
            "step": np.arange(count),
            "t": line.t,
            info.name: line.middle,
        }
        if np.isfinite(line.low).any():
            columns |= {"low": line.low, "high": line.high, "n": line.n}
        if line.chosen is not None:
            columns |= {"chosen": line.chosen, "n chosen": line.chosen_n}
        if line.focus is not None:
            columns["focus"] = line.focus
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)
