"""Whose fault is a route's denoising loss: the experts' own part, and what routing adds to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.audits.evidence import Accuracy, Loss
from app.figures.bands import CHOSEN, OTHERS, THIRD, panels_over_t, role_colour
from app.figures.claims import finite, written
from app.figures.look import Look, alpha
from ddm_core.intervals import Estimate

__all__ = ["LossesInfo", "Split", "figure", "losses_info", "table"]

_MONOLITH = "monolith"


class Split(NamedTuple):
    """The loss of one route, [time] each; nan where it was not measured.

    Arguments:
        loss: of the route, with its interval.
        own: of the same experts under the oracle's weights: no router could do anything about it.
        best: of the same experts under the best convex weights, chosen for each item in hindsight.
        over_oracle, over_best: loss less the one and the other, with intervals.
    """

    router: str
    loss: tuple[Estimate, ...]
    own: np.ndarray
    best: np.ndarray
    over_oracle: tuple[Estimate, ...]
    over_best: tuple[Estimate, ...]


class LossesInfo(NamedTuple):
    """Routes side by side.

    Arguments:
        times: noise levels [time].
        monolith: loss of one model for everything [time], or empty where there is none.
    """

    times: np.ndarray
    routes: tuple[Split, ...]
    monolith: np.ndarray


def losses_info(accuracy: Accuracy, routers: Sequence[str]) -> LossesInfo:
    """The split of these routes, in their order, as far as they were measured."""
    by = {one.router: one for one in accuracy.loss if one.loss}
    alone = by.get(_MONOLITH)
    return LossesInfo(
        np.array([finite(t) for t in accuracy.times]),
        tuple(_split(by[router]) for router in routers if router in by),
        _values(alone.loss) if alone is not None else np.empty(0),
    )


def _split(one: Loss) -> Split:
    loss = _values(one.loss)
    own, best = (
        loss - _values(over) if over else np.full(len(loss), np.nan)
        for over in (one.over_oracle, one.over_best)
    )
    return Split(one.router, one.loss, own, best, one.over_oracle, one.over_best)


def _values(values: Sequence[Estimate]) -> np.ndarray:
    return np.array([finite(one.value) for one in values])


def figure(info: LossesInfo, look: Look) -> go.Figure:
    """Grey: what the experts cannot do; coloured above it: what routing adds, or below: saves."""
    chart = panels_over_t([one.router for one in info.routes], "denoising loss", look)
    lost, saved = role_colour(OTHERS, look), role_colour(THIRD, look)
    for column, one in enumerate(info.routes, start=1):
        loss = _values(one.loss)
        known = np.isfinite(loss) & np.isfinite(one.own) & np.isfinite(info.times)
        t, own, total = info.times[known], one.own[known], loss[known]
        _area(chart, t, np.zeros(len(t)), own, alpha(look.muted, 0.28), column, "experts' own")
        if (total > own).any():
            top = np.maximum(total, own)
            _area(chart, t, own, top, alpha(lost, 0.55), column, "added by routing")
        if (total < own).any():
            low = np.minimum(total, own)
            _area(chart, t, low, own, alpha(saved, 0.55), column, "saved by routing")
        _line(chart, info.times, one.best, look.ink, "dot", column, "best weights in hindsight")
        if len(info.monolith):
            _line(chart, info.times, info.monolith, look.muted, "dash", column, "monolith")
        chart.add_scatter(
            x=info.times,
            y=loss,
            mode="lines",
            name="loss of the route",
            legendgroup="loss of the route",
            line={"color": role_colour(CHOSEN, look), "width": 2.2},
            customdata=[
                [written(*map(finite, value[:3])), f"{value.n:,}", added, owned]
                for value, added, owned in zip(
                    one.loss, _texts(one), [f"{v:.3g}" for v in one.own], strict=True
                )
            ],
            hovertemplate="t = %{x:.2f}: loss %{customdata[0]}, n = %{customdata[1]}<br>"
            "experts' own %{customdata[3]}, routing %{customdata[2]}<extra></extra>",
            row=1,
            col=column,
        )
    _legend_once(chart)
    chart.update_layout(hovermode="closest")
    chart.update_yaxes(rangemode="tozero")
    return chart


def _texts(one: Split) -> list[str]:
    values = one.over_oracle or (Estimate(None, None, None, 0, ""),) * len(one.loss)
    return [written(*map(finite, value[:3])) for value in values]


def _area(
    chart: go.Figure,
    t: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    colour: str,
    column: int,
    name: str,
) -> None:
    """What lies between two lines."""
    chart.add_scatter(
        x=np.concatenate((t, t[::-1])),
        y=np.concatenate((high, low[::-1])),
        mode="lines",
        fill="toself",
        fillcolor=colour,
        line={"width": 0},
        name=name,
        legendgroup=name,
        hoverinfo="skip",
        row=1,
        col=column,
    )


def _line(
    chart: go.Figure,
    t: np.ndarray,
    values: np.ndarray,
    colour: str,
    dash: str,
    column: int,
    name: str,
) -> None:
    chart.add_scatter(
        x=t,
        y=values,
        mode="lines",
        line={"color": colour, "width": 1.4, "dash": dash},
        name=name,
        legendgroup=name,
        hovertemplate=f"{name} at t = %{{x:.2f}}: %{{y:.3g}}<extra></extra>",
        row=1,
        col=column,
    )


def _legend_once(chart: go.Figure) -> None:
    """One entry for lines of one name."""
    told: set[str] = set()

    def tell(trace: go.Scatter) -> None:
        trace.showlegend = trace.name not in told
        told.add(str(trace.name))

    chart.for_each_trace(tell)


def table(info: LossesInfo) -> pd.DataFrame:
    """What is drawn, one row per route and t."""
    nothing = Estimate(None, None, None, 0, "")
    rows: list[dict[str, object]] = []
    for one in info.routes:
        for place, t in enumerate(info.times):
            over = one.over_oracle[place] if one.over_oracle else nothing
            loss = one.loss[place]
            row: dict[str, object] = {"route": one.router, "t": t, "loss": loss.value}
            row |= {"low": loss.low, "high": loss.high, "n": loss.n}
            row |= {"experts_own": one.own[place], "by_routing": over.value}
            row |= {"by_routing_low": over.low, "by_routing_high": over.high}
            row |= {"best_in_hindsight": one.best[place]}
            if len(info.monolith):
                row["monolith"] = info.monolith[place]
            rows.append(row)
    return pd.DataFrame(rows)
