"""How fast the steps converge: relative L2 distance between N and 2N steps, over N."""

from __future__ import annotations

import math
from typing import NamedTuple

import pandas as pd
import plotly.graph_objects as go

from app.audits.file import Audit
from app.figures.claims import finite, written
from app.figures.look import Look, base_figure, plain
from app.figures.mixing import mix_colour, mixed
from app.figures.stretch import Stretch
from ddm_core.intervals import Estimate

__all__ = ["Curve", "CurvesInfo", "curves_info", "figure", "table"]

_LOG = Stretch("log")
_DASHES = ("solid", "dash", "dot", "dashdot")


class Curve(NamedTuple):
    """A route: the distance between N and 2N steps, for each N."""

    router: str
    kind: str
    mixed: float
    steps: tuple[int, ...]
    delta: tuple[Estimate, ...]


class CurvesInfo(NamedTuple):
    """Curves of all routes that have one, the slowest to converge first."""

    experts: int
    curves: tuple[Curve, ...]


def curves_info(audit: Audit) -> CurvesInfo:
    """The convergence of every route that was taken at several numbers of steps."""
    curves: list[Curve] = []
    for route in audit.routes:
        if route.convergence is None or route.kind == "map":
            continue
        points = [
            (steps, delta)
            for steps, delta in zip(route.convergence.steps, route.convergence.delta, strict=False)
            if steps > 0 and delta.value is not None and delta.value > 0
        ]
        if points:
            points.sort(key=lambda one: one[0])
            steps, deltas = zip(*points, strict=True)
            curves.append(Curve(route.router, route.kind, mixed(route), steps, deltas))
    curves.sort(key=lambda one: finite(one.delta[-1].value), reverse=True)
    return CurvesInfo(audit.plan.experts, tuple(curves))


def figure(info: CurvesInfo, look: Look) -> go.Figure:
    """A line per route on logarithmic axes, its name at the end; dotted: halved by doubling N."""
    chart = base_figure(look, height=max(340, 120 + 24 * len(info.curves)))
    _first_order(chart, info, look)
    for place, curve in enumerate(info.curves):
        reference = curve.kind == "reference"
        colour = look.muted if reference else mix_colour(curve.mixed, info.experts, look)
        numbers = [written(*map(finite, one[:3])) for one in curve.delta]
        chart.add_scatter(
            x=[_LOG.at(n) for n in curve.steps],
            y=[_LOG.at(finite(one.value)) for one in curve.delta],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [_gap(one.high, one.value) for one in curve.delta],
                "arrayminus": [_gap(one.value, one.low) for one in curve.delta],
                "thickness": 1.1,
                "width": 0,
                "color": colour,
            },
            mode="lines+markers",
            name=plain(curve.router),
            line={"color": colour, "width": 2, "dash": _DASHES[place % len(_DASHES)]},
            marker={"size": 7, "color": colour},
            customdata=[
                [n, text, f"{one.n:,}"]
                for n, text, one in zip(curve.steps, numbers, curve.delta, strict=True)
            ],
            hovertemplate=f"<b>{plain(curve.router)}</b>, %{{customdata[0]}} against twice as "
            "many steps: %{customdata[1]}, n = %{customdata[2]}<extra></extra>",
        )
    steps = sorted({n for curve in info.curves for n in curve.steps})
    chart.update_layout(
        hovermode="closest",
        showlegend=True,
        legend={"orientation": "v", "x": 1.01, "y": 1, "yanchor": "top", "xanchor": "left"},
        margin={"t": 8},
    )
    chart.update_xaxes(
        tickvals=[_LOG.at(n) for n in steps],
        ticktext=[str(n) for n in steps],
        title_text="steps N",
    )
    ends = [finite(end) for curve in info.curves for one in curve.delta for end in one[:3]]
    chart.update_yaxes(title_text="|x^N − x^2N| / |x^2N|", **_LOG.axis(e for e in ends if e > 0))
    return chart


def _gap(above: float | None, below: float | None) -> float:
    """The length of a whisker on the axis; 0 where it has no end."""
    length = _LOG.at(finite(above)) - _LOG.at(finite(below))
    return 0.0 if math.isnan(length) else max(length, 0.0)


def _first_order(chart: go.Figure, info: CurvesInfo, look: Look) -> None:
    """How a solver of first order converges, through the first point of the slowest curve."""
    steps = [n for curve in info.curves for n in curve.steps]
    if len(set(steps)) < 2:
        return
    first, last = min(steps), max(steps)
    top = max(finite(curve.delta[0].value) for curve in info.curves)
    chart.add_scatter(
        x=[_LOG.at(first), _LOG.at(last)],
        y=[_LOG.at(top), _LOG.at(top * first / last)],
        mode="lines",
        name="first order",
        line={"color": look.muted, "width": 1.2, "dash": "dot"},
        hoverinfo="skip",
    )


def table(info: CurvesInfo) -> pd.DataFrame:
    """What is drawn, one row per route and N."""
    return pd.DataFrame(
        [
            {
                "router": curve.router,
                "steps": n,
                "delta": one.value,
                "low": one.low,
                "high": one.high,
                "n": one.n,
            }
            for curve in info.curves
            for n, one in zip(curve.steps, curve.delta, strict=True)
        ],
        columns=["router", "steps", "delta", "low", "high", "n"],
    )
