"""The figures of the pages for notebooks; `ddm_core.plots` finds them by their entry points."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from app.figures import (
    alignment,
    routes_scatter,
    samples_scatter,
    series,
    variables,
    weights,
)
from app.figures.look import Look
from app.figures.routes_scatter import Point, ScatterInfo
from app.figures.subjects import Subject
from ddm_core.errors import RequestError, unknown
from ddm_core.intervals import Estimate
from ddm_core.plots import Shown

__all__ = ["ComparisonPlots", "RunPlots"]

#: Measures of quality, the preferred one first, with what they are called and which is better.
_QUALITIES = {
    "fid": ("FID", "lower"),
    "energy_distance": ("energy distance", "lower"),
    "kid": ("KID", "lower"),
}
_GROWTH = "perturbation_growth_median"


class _Plots(ABC):
    """Any variable is a method: plot.entropy(), plot.disagreement(axis="t")."""

    def __init__(self, shown: Sequence[Shown]) -> None:
        self._shown = tuple(shown)
        self._subjects = [Subject(one.label, one.trace) for one in shown]
        self._look = Look()

    def _names(self) -> list[str]:
        names = [name for one in self._subjects for name in variables.drawable(one.trace)]
        return list(dict.fromkeys(names))

    @abstractmethod
    def _variable(self, name: str, sample: int | None, axis: str) -> go.Figure:
        """A variable over time, where no method draws it in a way of its own."""

    def __getattr__(self, name: str) -> Callable[..., go.Figure]:
        if name.startswith("_"):
            raise AttributeError(name)
        if name not in self._names():
            raise AttributeError(str(unknown("figure", name, self._names())))

        def draw(sample: int | None = None, axis: str = "step") -> go.Figure:
            return self._variable(name, sample, axis)

        draw.__doc__ = f"{name} over time; of one sample (its seed), or of all."
        return draw

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._names()})

    def weights(self, sample: int | None = None, axis: str = "step") -> go.Figure:
        """Who is asked: weights of every expert over time, stacked."""
        info = weights.weights_info(self._subjects, sample=sample, axis=axis)
        return weights.figure(info, self._look)


class RunPlots(_Plots):
    """Figures of one run, as the Trace page has them."""

    def _variable(self, name: str, sample: int | None, axis: str) -> go.Figure:
        one = self._subjects[0]
        return variables.draw(one, name, self._look, focus=sample, axis=axis).figure

    def samples(self, across: str, up: str) -> go.Figure:
        """Every sample by two variables, each its mean over steps."""
        info = samples_scatter.samples_info(self._subjects[0], across, up)
        return samples_scatter.figure(info, self._look)


class ComparisonPlots(_Plots):
    """Figures of several runs, as the Compare page and the Stability page have them."""

    def _variable(self, name: str, sample: int | None, axis: str) -> go.Figure:
        dims = next(set(s.trace[name].dims) for s in self._subjects if name in s.trace)
        if not dims <= {"step", "sample"}:
            raise RequestError(
                f"{name} has a figure of one run only; open a run and draw it there"
            )
        info = series.series_info(self._subjects, name, focus=sample, axis=axis)
        return series.figure(info, self._look)

    def alignment(self, axis: str = "step") -> go.Figure:
        """Distance to the data of the chosen experts, of all, and of those not chosen."""
        return alignment.figure(alignment.alignment_info(self._subjects, axis=axis), self._look)

    def paradox(self) -> go.Figure:
        """Stability against quality, a point per route: is the most stable one the best one?"""
        return routes_scatter.figure(paradox_info(self._shown), self._look)


def paradox_info(shown: Sequence[Shown]) -> ScatterInfo:
    """Median growth of a small push and quality of each route.

    Raises:
        RequestError: no two routes have both numbers.
    """
    quality = next((name for name in _QUALITIES if any(name in s.numbers for s in shown)), "")
    both = [
        one
        for one in shown
        if _number(one.numbers, _GROWTH).value is not None
        and _number(one.numbers, quality).value is not None
    ]
    if len(both) < 2:
        raise RequestError("fewer than two routes have both a quality and perturbation_growth")
    points = [
        Point(
            one.label,
            "reference" if one.label == "monolith" else "strategy",
            _number(one.numbers, "expert_calls").value or 1.0,
            math.nan,
            _number(one.numbers, _GROWTH),
            _number(one.numbers, quality),
        )
        for one in both
    ]
    title, better = _QUALITIES[quality]
    info = ScatterInfo(
        _GROWTH,
        "growth of a small push, median",
        "distance at the end to a twin that got a push at the start, relative to the push",
        title,
        better,
        max(one.trace.sizes.get("expert", 1) for one in both),
        tuple(points),
        *("", "", ""),
        apart=False,
    )
    return routes_scatter.ordered(info)


def _number(numbers: Mapping[str, Mapping[str, Any]], name: str) -> Estimate:
    one = numbers.get(name, {})
    value, low, high = (one.get(part) for part in ("value", "low", "high"))
    return Estimate(value, low, high, int(one.get("n") or 0), str(one.get("method", "")))
