"""The paradox map: experts mixed x router temperature (x the experts' error, on the ring).

A column of the map (one temperature, one error) shows the paradox where the most stable route,
the one with the lowest Delta_refine and the lowest mean local Lipschitz constant, is also the one
with the worst quality, beyond what the intervals leave open.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ddm_core.analysis import statistics
from ddm_core.analysis.numbers import DEFINITIONS, Judged, per_sample
from ddm_core.analysis.parts import Part
from ddm_core.analysis.plan import Entry, Plan
from ddm_core.intervals import Estimate

__all__ = ["data_uri", "paradox_map"]

Cell = tuple[float, float, int]  # error, temperature, k
_SHOWN = ("delta_refine", "lipschitz", "growth")


def paradox_map(
    plan: Plan,
    parts: Sequence[tuple[Entry, Part, Judged]],
    own_error: float,
    metric: str,
    temperature: Estimate | None,
    monolith: Judged | None,
) -> dict[str, Any]:
    """The map as audit.json has it.

    Arguments:
        parts: every route of a Top-k that was measured.
        own_error: of the audited ring; 0 for systems whose error nobody set.
        metric: fid or energy_distance.
        temperature: fitted on held-out data: where the system's own router sits.
        monolith: of the audited system, if it has one.
    """
    found: dict[Cell, tuple[Entry, Part, Judged]] = {}
    for entry, part, judged in parts:
        if entry.k is None or entry.temperature is None:
            continue
        error = own_error if entry.error is None else entry.error
        found[error, entry.temperature, entry.k] = (entry, part, judged)
    cells: list[dict[str, Any]] = []
    orders: list[dict[str, Any]] = []
    for error in plan.errors:
        for temperature_ in plan.temperatures:
            column: dict[int, tuple[Entry, Part, Judged]] = {}
            for k in plan.ks:
                # The largest probability is the largest at every temperature: one Top-1 for all.
                at = found.get((error, 1.0 if k == 1 else temperature_, k))
                if at is not None:
                    column[k] = at
                    cells.append(_cell(k, temperature_, error, *at, metric))
            if len(column) > 1:
                alone = monolith if error == own_error else None
                orders.append(_order(temperature_, error, column, alone))
    return {
        "ks": list(plan.ks),
        "temperatures": list(plan.temperatures),
        "errors": list(plan.errors),
        "cells": cells,
        "orders": orders,
        "router_temperature": None if temperature is None else temperature.to_json(),
        "sentence": _sentence(orders, own_error, metric),
    }


def _cell(
    k: int, temperature: float, error: float, entry: Entry, part: Part, judged: Judged, metric: str
) -> dict[str, Any]:
    numbers = per_sample(part)
    return {
        "k": k,
        "temperature": temperature,
        "error": error,
        "router": entry.router,
        "quality": judged.numbers[metric].to_json(),
        **{
            name: statistics.mean(numbers[name], DEFINITIONS[name].definition).to_json()
            for name in _SHOWN
            if name in numbers
        },
        "picture": data_uri(part.picture),
    }


def _order(
    temperature: float,
    error: float,
    column: Mapping[int, tuple[Entry, Part, Judged]],
    monolith: Judged | None,
) -> dict[str, Any]:
    quality = {k: judged.value for k, (_, _, judged) in column.items()}
    best, worst = min(quality, key=quality.__getitem__), max(quality, key=quality.__getitem__)
    n = len(column[best][1].features)
    gap, p = _difference(column[worst][2], column[best][2], n, "worst - best")
    full, sparse = column[max(column)][2], column[sorted(column)[1 if len(column) > 2 else 0]][2]
    over_sparse, _ = _difference(full, sparse, n, "full - sparse")
    over_monolith = None
    if monolith is not None:
        over_monolith = _difference(full, monolith, n, "full - monolith")[0].to_json()
    stable = {
        name: _lowest({k: per_sample(part).get(name) for k, (_, part, _) in column.items()})
        for name in ("delta_refine", "lipschitz")
    }
    separated = gap.low is not None and gap.low > 0 and p is not None and p < 0.05
    agreed = len(set(stable.values())) == 1
    most_stable = stable["delta_refine"]
    return {
        "temperature": temperature,
        "error": error,
        "best": best,
        "worst": worst,
        "most_stable": most_stable if agreed else None,
        "best_converged": stable["delta_refine"],
        "smoothest": stable["lipschitz"],
        "separated": separated,
        "paradox": bool(separated and agreed and most_stable == worst),
        "gap": gap.to_json(),
        "full_minus_sparse": over_sparse.to_json(),
        "full_minus_monolith": over_monolith,
    }


def _difference(one: Judged, other: Judged, n: int, what: str) -> tuple[Estimate, float | None]:
    return statistics.difference_from_replicates(
        one.value - other.value, one.replicates - other.replicates, n, f"{what}, shared seeds"
    )


def _lowest(values: Mapping[int, np.ndarray | None]) -> int | None:
    means = {k: float(np.nanmean(v)) for k, v in values.items() if v is not None and len(v)}
    return min(means, key=means.__getitem__) if means else None


def _sentence(orders: Sequence[Mapping[str, Any]], own_error: float, metric: str) -> str:
    title = DEFINITIONS[metric].title
    if not orders:
        return "There is no map: fewer than two routes of it were measured."
    worse = [one for one in orders if _sign(one["full_minus_sparse"]) > 0]
    better = [one for one in orders if _sign(one["full_minus_sparse"]) < 0]
    said = [
        f"the whole ensemble has a worse {title} than the sparse route {_where(worse, orders)}",
        f"and a better one {_where(better, orders)}",
    ]
    shown = [one for one in orders if one["paradox"]]
    said.append(f"it is the stablest and worst of all at once {_where(shown, orders)}")
    own = next(
        (o for o in orders if (o["temperature"], o["error"]) == (1.0, own_error)), orders[0]
    )
    against = own["full_minus_monolith"]
    if against is not None and _sign(against):
        word = "worse" if _sign(against) > 0 else "better"
        said.append(f"with the system's own router it is {word} than the monolith")
    return f"{'; '.join(said)[0].upper()}{'; '.join(said)[1:]}."


def _sign(one: Mapping[str, Any]) -> int:
    """Of a difference whose interval excludes 0; else 0."""
    if one["low"] is None:
        return 0
    return 1 if one["low"] > 0 else -1 if one["high"] < 0 else 0


def _where(some: Sequence[Mapping[str, Any]], orders: Sequence[Mapping[str, Any]]) -> str:
    if not some:
        return "nowhere on this map"
    if len(some) == len(orders):
        return "everywhere on this map"
    return "at " + ", ".join(_at(one, orders) for one in some)


def _at(one: Mapping[str, Any], orders: Sequence[Mapping[str, Any]]) -> str:
    error = f" with error {one['error']:g}" if len({o["error"] for o in orders}) > 1 else ""
    return f"T = {one['temperature']:g}{error}"


def data_uri(png: bytes) -> str | None:
    """A small picture as it stands in a JSON document; None where there is none."""
    return f"data:image/png;base64,{b64encode(png).decode()}" if png else None
