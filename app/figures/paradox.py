"""Where does the paradox hold? Quality and stability over experts mixed and router temperature.

Two published tables disagree, and both are places on this map: in one, Top-2 is best and the full
ensemble worst; in the other, the full ensemble beats a monolith.

References:
    Expert-Data Alignment Governs Generation Quality in Decentralized Diffusion Models
        (Villagra et al., 2026)
    Decentralized Diffusion Models (McAllister et al., 2025)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from app.audits.file import Audit, Cell, Order
from app.figures.claims import finite
from ddm_core.intervals import Estimate

__all__ = [
    "Column",
    "Layer",
    "MapInfo",
    "cell_name",
    "cells",
    "k_name",
    "map_info",
    "picture",
    "place_of",
    "table",
    "telling",
]


class Layer(NamedTuple):
    """A quantity on the map.

    Arguments:
        better: "lower" or "higher"; "" where neither is.
        values, low, high: [error, k, temperature]; nan where nothing was measured.
        n: int [error, k, temperature]
    """

    name: str
    title: str
    better: str
    values: np.ndarray
    low: np.ndarray
    high: np.ndarray
    n: np.ndarray

    def at(self, place: tuple[int, int, int]) -> tuple[float, float, float]:
        """Value, low and high of a cell, by the places of its error, k and temperature."""
        return float(self.values[place]), float(self.low[place]), float(self.high[place])


class Column(NamedTuple):
    """What is found at one temperature and error; numbers of experts mixed, or None.

    Arguments:
        separated: whether best and worst differ beyond doubt.
        paradox: whether the most stable is the worst, beyond doubt.
        paris: whether Top-2 is best and the full ensemble worst; None where nobody can tell.
        ddm: whether the full ensemble beats the monolith; None where nobody can tell.
        ddm_clear: whether their intervals do not overlap.
    """

    best: int | None
    worst: int | None
    best_converged: int | None
    smoothest: int | None
    separated: bool
    paradox: bool
    paris: bool | None
    ddm: bool | None
    ddm_clear: bool


class MapInfo(NamedTuple):
    """The map.

    Arguments:
        experts: all there are: the largest k is the full ensemble where it equals this.
        columns: [error][temperature]
        routers, pictures: [error][k][temperature]; "" and None where there is none.
        router_temperature: value, low and high of the fitted one; nan where nobody knows.
    """

    experts: int
    ks: tuple[int, ...]
    temperatures: tuple[float, ...]
    errors: tuple[float, ...]
    layers: tuple[Layer, ...]
    columns: tuple[tuple[Column, ...], ...]
    routers: tuple[tuple[tuple[str, ...], ...], ...]
    pictures: tuple[tuple[tuple[str | None, ...], ...], ...]
    router_temperature: tuple[float, float, float]
    monolith: Estimate


_LAYERS = ("quality", "delta_refine", "lipschitz")


def map_info(audit: Audit) -> MapInfo | None:
    """The numbers of an audit's map; None where it has none."""
    if audit.map is None or not audit.map.cells:
        return None
    given = audit.map
    ks = tuple(sorted(set(given.ks)))
    temperatures = tuple(sorted(set(given.temperatures)))
    errors = tuple(sorted(set(given.errors)))
    at = {(c.error, c.k, c.temperature): c for c in given.cells}
    cells = [[[at.get((e, k, t)) for t in temperatures] for k in ks] for e in errors]
    monolith = next(
        (r.number(audit.plan.quality) for r in audit.routes if r.kind == "reference"),
        Estimate(None, None, None, 0, ""),
    )
    layers = tuple(_layer(audit, name, cells) for name in _LAYERS)
    orders = {(o.error, o.temperature): o for o in given.orders}
    own = given.router_temperature
    experts = audit.plan.experts
    return MapInfo(
        experts,
        ks,
        temperatures,
        errors,
        tuple(layer for layer in layers if np.isfinite(layer.values).any()),
        tuple(
            tuple(
                _column(orders.get((e, t)), at.get((e, experts, t)), monolith, experts)
                for t in temperatures
            )
            for e in errors
        ),
        tuple(tuple(tuple(c.router if c else "" for c in row) for row in e) for e in cells),
        tuple(tuple(tuple(c.picture if c else None for c in row) for row in e) for e in cells),
        (math.nan, math.nan, math.nan)
        if own is None
        else (finite(own.value), finite(own.low), finite(own.high)),
        monolith,
    )


def _layer(audit: Audit, name: str, cells: Sequence[Sequence[Sequence[Cell | None]]]) -> Layer:
    """One quantity of all cells."""
    if name == "quality":
        known = audit.definition(audit.plan.quality)
        title = audit.plan.quality_title or known.title
        better = known.better or "lower"
    else:
        known = audit.definition(name)
        title, better = known.title, "lower"

    def taken(part: str) -> np.ndarray:
        return np.array(
            [
                [
                    [finite(getattr(getattr(c, name), part)) if c else math.nan for c in k]
                    for k in e
                ]
                for e in cells
            ],
            dtype=np.float64,
        )

    counts = [[[getattr(c, name).n if c else 0 for c in k] for k in e] for e in cells]
    return Layer(
        name, title, better, taken("value"), taken("low"), taken("high"), np.array(counts)
    )


def _column(order: Order | None, full: Cell | None, monolith: Estimate, experts: int) -> Column:
    ddm: bool | None = None
    clear = False
    if full is not None and full.quality.value is not None and monolith.value is not None:
        ddm = full.quality.value < monolith.value
        ends = (full.quality.low, full.quality.high, monolith.low, monolith.high)
        low, high, other_low, other_high = (finite(end) for end in ends)
        clear = high < other_low or other_high < low
    if order is None:
        return Column(None, None, None, None, False, False, None, ddm, clear)
    told = order.best is not None and order.worst is not None
    return Column(
        order.best,
        order.worst,
        order.best_converged or order.most_stable,
        order.smoothest or order.most_stable,
        order.separated,
        order.paradox,
        (order.best, order.worst) == (2, experts) if told and experts > 2 else None,
        ddm,
        clear,
    )


def k_name(k: int, experts: int) -> str:
    """A row of the map in words."""
    return f"full ({k})" if k == experts else f"Top-{k}"


def cell_name(info: MapInfo, error: int, k: int, temperature: int) -> str:
    """A cell in words, from its places; also what the URL calls it."""
    words = f"{k_name(info.ks[k], info.experts)}, T = {info.temperatures[temperature]:g}"
    return words + (f", error {info.errors[error]:g}" if len(info.errors) > 1 else "")


def cells(info: MapInfo) -> dict[str, tuple[int, int, int]]:
    """Every measured cell by its name: its error's, its k's and its temperature's place."""
    return {
        cell_name(info, e, k, t): (e, k, t)
        for e in range(len(info.errors))
        for t in range(len(info.temperatures))
        for k in range(len(info.ks))
        if info.routers[e][k][t]
    }


def picture(info: MapInfo, place: tuple[int, int, int]) -> str | None:
    """The samples of a cell, by the places of its error, k and temperature."""
    e, k, t = place
    return info.pictures[e][k][t]


def telling(info: MapInfo) -> str:
    """The cell to look at first: one that shows the paradox, else the first."""
    for name, (e, k, t) in cells(info).items():
        column = info.columns[e][t]
        if column.paradox and column.worst == info.ks[k]:
            return name
    return next(iter(cells(info)))


def place_of(value: float, temperatures: Sequence[float]) -> float | None:
    """Where a temperature lies between those of the map, whose columns are at 0, 1, ...

    None outside of them.
    """
    if math.isnan(value) or value <= 0 or not temperatures:
        return None
    logs = np.log(np.array(temperatures))
    at = math.log(value)
    if not logs[0] <= at <= logs[-1]:
        return None
    return float(np.interp(at, logs, np.arange(len(logs))))


def table(info: MapInfo) -> pd.DataFrame:
    """What is drawn, one row per cell."""
    rows: list[dict[str, object]] = []
    for e, error in enumerate(info.errors):
        for t, temperature in enumerate(info.temperatures):
            column = info.columns[e][t]
            for i, k in enumerate(info.ks):
                row: dict[str, object] = {
                    "error": error,
                    "temperature": temperature,
                    "k": k,
                    "router": info.routers[e][i][t],
                }
                for layer in info.layers:
                    row[layer.name] = layer.values[e, i, t]
                    row[f"{layer.name}_low"] = layer.low[e, i, t]
                    row[f"{layer.name}_high"] = layer.high[e, i, t]
                    row[f"{layer.name}_n"] = layer.n[e, i, t]
                row |= {
                    "best": column.best == k,
                    "worst": column.worst == k,
                    "best_converged": column.best_converged == k,
                    "smoothest": column.smoothest == k,
                    "separated": column.separated,
                    "paradox": column.paradox and column.worst == k,
                    "paris_order": column.paris,
                    "full_beats_monolith": column.ddm,
                }
                rows.append(row)
    return pd.DataFrame(rows)
