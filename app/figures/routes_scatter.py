"""Stability against quality, a point per route: is the most stable one the best one?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from app.audits.file import Audit
from app.figures.claims import finite, shown, written
from app.figures.look import Look, alpha, base_figure, plain
from app.figures.mixing import mix_colour, mix_key, mixed
from app.figures.placing import places
from app.figures.stretch import Stretch, stretch
from ddm_core.intervals import Estimate

__all__ = [
    "SENSITIVITIES",
    "Point",
    "ScatterInfo",
    "figure",
    "finding",
    "ordered",
    "qualities",
    "scatter_info",
    "sensitivities",
    "table",
]

#: Definitions of sensitivity that an audit may hold; smaller is more stable by all of them.
SENSITIVITIES = (
    *("delta_refine", "lipschitz", "lipschitz_max", "effective_lipschitz", "lipschitz_difference"),
    *("lipschitz_difference_max", "lipschitz_frozen", "lipschitz_noised"),
    *("growth", "growth_median", "growth_frozen", "growth_renormalised"),
    *("lyapunov", "lyapunov_renormalised"),
)
#: Measures of quality that an audit may hold beside its own.
QUALITIES = ("fid", "fd_infinity", "energy_distance", "kid", "precision", "recall")
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "triangle-down", "cross", "pentagon")
_DOTTED = {"width": 1.2, "dash": "dot"}
_NAME = 30  # letters of a name that are written


class Point(NamedTuple):
    """A route.

    Arguments:
        stability, quality: with their intervals.
        mixed: experts asked per sample and step.
        temperature: of its router; nan where the route has none.
    """

    router: str
    kind: str
    mixed: float
    temperature: float
    stability: Estimate
    quality: Estimate


class ScatterInfo(NamedTuple):
    """Routes in the plane of one sensitivity and quality.

    Arguments:
        better: "lower" or "higher" quality.
        most_stable, best, worst: routers, by point estimates; "" where there are fewer than two.
        apart: whether the intervals of the most stable and the best route do not overlap.
    """

    name: str
    title: str
    definition: str
    quality_title: str
    better: str
    experts: int
    points: tuple[Point, ...]
    most_stable: str
    best: str
    worst: str
    apart: bool


def sensitivities(audit: Audit) -> list[str]:
    """The definitions of sensitivity that any route of an audit has."""
    there = _known(audit)
    return [name for name in SENSITIVITIES if name in there]


def qualities(audit: Audit) -> list[str]:
    """The measures of quality that any route has; the one that the audit judges by is first."""
    there = _known(audit)
    return [audit.plan.quality, *(q for q in QUALITIES if q in there and q != audit.plan.quality)]


def _known(audit: Audit) -> set[str]:
    return {
        name
        for route in audit.routes
        for name, one in route.numbers.items()
        if one.value is not None
    }


def scatter_info(audit: Audit, name: str, *, grid: bool = False, quality: str = "") -> ScatterInfo:
    """Routes that have both numbers.

    Arguments:
        name: of the sensitivity.
        grid: also the routes that were measured for the map alone.
        quality: name of the measure; "" is the one that the audit judges by.
    """
    quality = quality or audit.plan.quality
    points = tuple(
        Point(
            route.router,
            route.kind,
            mixed(route),
            finite(route.temperature),
            route.number(name),
            route.number(quality),
        )
        for route in audit.routes
        if route.number(name).value is not None
        and route.number(quality).value is not None
        and (grid or route.kind != "map")
    )
    known = audit.definition(name)
    judge = audit.definition(quality)
    better = judge.better or "lower"
    info = ScatterInfo(
        name,
        known.title,
        known.definition,
        (quality == audit.plan.quality and audit.plan.quality_title) or judge.title,
        better,
        audit.plan.experts,
        points,
        *("", "", ""),
        apart=False,
    )
    return ordered(info)


def ordered(info: ScatterInfo) -> ScatterInfo:
    """The same with its most stable, best and worst route named; a reference is none of them."""
    chosen = [one for one in info.points if one.kind != "reference"]
    if len(chosen) < 2:
        return info
    sign = 1.0 if info.better == "lower" else -1.0
    stable = min(chosen, key=lambda one: one.stability.value or 0.0)
    ranked = sorted(chosen, key=lambda one: sign * (one.quality.value or 0.0))
    return info._replace(
        most_stable=stable.router,
        best=ranked[0].router,
        worst=ranked[-1].router,
        apart=_apart(stable.quality, ranked[0].quality),
    )


def _apart(one: Estimate, other: Estimate) -> bool:
    ends = (one.low, one.high, other.low, other.high)
    if any(end is None for end in ends):
        return False
    low, high, other_low, other_high = (finite(end) for end in ends)
    return high < other_low or other_high < low


def finding(info: ScatterInfo) -> str:
    """What the picture shows, in words; nothing is claimed that the intervals do not allow."""
    by = {point.router: point for point in info.points}
    if not info.best:
        return "Fewer than two routes have both numbers."

    def says(router: str) -> str:
        return f"{router} ({info.quality_title} {shown(finite(by[router].quality.value))})"

    if info.most_stable == info.best:
        return f"By {info.title} the most stable route is also the best: {says(info.best)}"
    words = f"By {info.title} the most stable route is {says(info.most_stable)}, the best is "
    words += says(info.best)
    if not info.apart:
        return f"{words}; their intervals overlap: not told apart"
    return f"{words}; their intervals do not overlap"


def figure(info: ScatterInfo, look: Look, *, height: int = 520) -> go.Figure:
    """Points with whiskers both ways; dotted lines at the most stable and at the best route."""
    chart = base_figure(look, height=height)
    temperatures = sorted({p.temperature for p in info.points if not math.isnan(p.temperature)})
    by = {point.router: point for point in info.points}
    x = stretch([finite(p.stability.value) for p in info.points])
    y = stretch([finite(p.quality.value) for p in info.points])
    plane = Plane(x, y)
    names = ["" if p.kind == "map" else p.router[:_NAME] for p in info.points]
    spots = np.array([plane.spot(p) for p in info.points]).reshape(-1, 2)
    ends = np.array([plane.ends(p) for p in info.points]).reshape(-1, 2, 2)
    sides = places(spots, names, ends)
    for order, symbol, label in _shapes(temperatures):
        group = [i for i, p in enumerate(info.points) if _shape(p, temperatures) == order]
        if group:
            _group(chart, info, plane, [info.points[i] for i in group], symbol, look)
            marker = {"symbol": symbol, "size": 11, "color": look.muted}
            chart.add_scatter(x=[None], y=[None], mode="markers", name=label, marker=marker)
    _labels(chart, info, plane, sides, look)
    if info.best:
        stable, best = by[info.most_stable], by[info.best]
        _upright(chart, plane.spot(stable)[0], "most stable", look)
        _level(chart, plane.spot(best)[1], "best", look)
    mix_key(chart, info.experts, look)
    chart.update_layout(
        hovermode="closest",
        clickmode="event+select",
        margin={"t": 66, "r": 16},
        legend={
            "y": 1.075,
            "title": {"text": "router temperature  ", "font": {"size": 12, "color": look.muted}},
        },
        showlegend=len(temperatures) > 0,
    )
    quality = f"{plain(info.quality_title)} ({info.better} is better)"
    reach = [end for p in info.points for end in _ends(p.stability)]
    chart.update_xaxes(title_text=f"{plain(info.title)} (left is more stable)", **x.axis(reach))
    reach = [end for p in info.points for end in _ends(p.quality)]
    chart.update_yaxes(title_text=quality, **y.axis(reach))
    return chart


class Plane(NamedTuple):
    """How both axes are stretched."""

    x: Stretch
    y: Stretch

    def spot(self, point: Point) -> tuple[float, float]:
        """Where a route lies."""
        return self.x.at(finite(point.stability.value)), self.y.at(finite(point.quality.value))

    def ends(self, point: Point) -> tuple[tuple[float, float], tuple[float, float]]:
        """Where its whiskers begin and end, both ways; nan where there is none."""
        _, low, high = _ends(point.stability)
        _, below, above = _ends(point.quality)
        return (self.x.at(low), self.y.at(below)), (self.x.at(high), self.y.at(above))


def _ends(one: Estimate) -> list[float]:
    return [finite(end) for end in one[:3]]


def _shape(point: Point, temperatures: Sequence[float]) -> int:
    """Which shape a point has: by its temperature; -1 without one, -2 for a reference."""
    if point.kind == "reference":
        return -2
    return -1 if math.isnan(point.temperature) else temperatures.index(point.temperature)


def _shapes(temperatures: Sequence[float]) -> list[tuple[int, str, str]]:
    shapes = [
        (i, _SYMBOLS[i % len(_SYMBOLS)], f"{value:g}") for i, value in enumerate(temperatures)
    ]
    return [*shapes, (-1, "hexagon", "none"), (-2, "star", "monolith")]


def _group(
    chart: go.Figure,
    info: ScatterInfo,
    plane: Plane,
    points: Sequence[Point],
    symbol: str,
    look: Look,
) -> None:
    colours = [
        look.muted if p.kind == "reference" else mix_colour(p.mixed, info.experts, look)
        for p in points
    ]
    chart.add_scatter(
        x=[plane.spot(p)[0] for p in points],
        y=[plane.spot(p)[1] for p in points],
        error_x=_bars([p.stability for p in points], plane.x, look),
        error_y=_bars([p.quality for p in points], plane.y, look),
        mode="markers",
        showlegend=False,
        marker={
            "size": [10 if p.kind == "map" else 15 for p in points],
            "symbol": symbol,
            "color": colours,
            "line": {"color": look.ink if look.dark else look.paper, "width": 1.2},
            "opacity": [0.75 if p.kind == "map" else 1.0 for p in points],
        },
        # What was not clicked on stays as it is: the panel beside says what was.
        unselected={"marker": {"opacity": 0.55}},
        customdata=[
            [
                p.router,
                plain(p.router),
                written(*map(finite, p.stability[:3])),
                written(*map(finite, p.quality[:3])),
                f"{p.stability.n:,}",
                f"{p.quality.n:,}",
                f"{p.mixed:.3g}",
            ]
            for p in points
        ],
        hovertemplate="<b>%{customdata[1]}</b><br>"
        f"{plain(info.quality_title)} %{{customdata[3]}}, n = %{{customdata[5]}}<br>"
        f"{plain(info.title)} %{{customdata[2]}}, n = %{{customdata[4]}}<br>"
        "experts mixed %{customdata[6]}<extra></extra>",
    )


def _bars(values: Sequence[Estimate], axis: Stretch, look: Look) -> dict[str, object]:
    up: list[float] = []
    down: list[float] = []
    for one in values:
        value, low, high = (axis.at(end) for end in _ends(one))
        up.append(max(high - value, 0.0) if math.isfinite(high) else 0.0)
        down.append(max(value - low, 0.0) if math.isfinite(low) else 0.0)
    return {
        "type": "data",
        "symmetric": False,
        "array": up,
        "arrayminus": down,
        "thickness": 1.1,
        "width": 0,
        "color": alpha(look.muted, 0.75),
    }


def _labels(
    chart: go.Figure, info: ScatterInfo, plane: Plane, sides: dict[int, str], look: Look
) -> None:
    spots = [plane.spot(info.points[i]) for i in sides]
    chart.add_scatter(
        x=[x for x, _ in spots],
        y=[y for _, y in spots],
        # An unseen marker keeps the text off the one that is seen.
        mode="markers+text",
        marker={"size": 17, "color": "rgba(0,0,0,0)"},
        text=[plain(info.points[i].router, _NAME) for i in sides],
        textposition=list(sides.values()),
        textfont={"size": 12, "color": look.ink},
        unselected={"textfont": {"color": look.ink}},
        hoverinfo="skip",
        showlegend=False,
    )


def _upright(chart: go.Figure, x: float, text: str, look: Look) -> None:
    chart.add_vline(x=x, line=_DOTTED | {"color": look.muted}, layer="below")
    font = {"size": 11, "color": look.muted}
    chart.add_annotation(
        x=x, y=1, yref="paper", yanchor="bottom", text=text, showarrow=False, font=font
    )


def _level(chart: go.Figure, y: float, text: str, look: Look) -> None:
    chart.add_hline(y=y, line=_DOTTED | {"color": look.muted}, layer="below")
    font = {"size": 11, "color": look.muted}
    where = {"x": 1, "xref": "paper", "xanchor": "right", "yanchor": "bottom"}
    chart.add_annotation(y=y, text=text, showarrow=False, font=font, **where)


def table(info: ScatterInfo) -> pd.DataFrame:
    """What is drawn, one row per route."""
    return pd.DataFrame(
        [
            {
                "router": p.router,
                "kind": p.kind,
                "experts_mixed": p.mixed,
                "temperature": p.temperature,
                info.name: p.stability.value,
                f"{info.name}_low": p.stability.low,
                f"{info.name}_high": p.stability.high,
                f"{info.name}_n": p.stability.n,
                "quality": p.quality.value,
                "quality_low": p.quality.low,
                "quality_high": p.quality.high,
                "quality_n": p.quality.n,
            }
            for p in info.points
        ]
    )
