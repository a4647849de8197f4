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
from ddm_core.summary import Estimate

__all__ = ["data_uri", "paradox_map"]

Cell = tuple[float, float, int]  # error, temperature, k
_SHOWN = ("delta_refine", "lipschitz", "growth")


def paradox_map(
    plan: Plan,
    parts: Sequence[tuple[Entry, Part, Judged]],
    own_error: float,
    metric: str,
    temperature: Estimate | None,
) -> dict[str, Any]:
    """The map as audit.json has it.

    Arguments:
        parts: every route of a Top-k that was measured.
        own_error: of the audited ring; 0 for systems whose error nobody set.
        metric: fid or energy_distance.
        temperature: fitted on held-out data: where the system's own router sits.
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
                orders.append(_order(temperature_, error, column))
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
    temperature: float, error: float, column: Mapping[int, tuple[Entry, Part, Judged]]
) -> dict[str, Any]:
    quality = {k: judged.value for k, (_, _, judged) in column.items()}
    best, worst = min(quality, key=quality.__getitem__), max(quality, key=quality.__getitem__)
    a, b = column[worst][2], column[best][2]
    gap, p = statistics.difference_from_replicates(
        a.value - b.value,
        a.replicates - b.replicates,
        len(column[best][1].features),
        "worst - best",
    )
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
    }


def _lowest(values: Mapping[int, np.ndarray | None]) -> int | None:
    means = {k: float(np.nanmean(v)) for k, v in values.items() if v is not None and len(v)}
    return min(means, key=means.__getitem__) if means else None


def _sentence(orders: Sequence[Mapping[str, Any]], own_error: float, metric: str) -> str:
    title = DEFINITIONS[metric].title
    if not orders:
        return "There is no map: fewer than two routes of it were measured."
    shown = [one for one in orders if one["paradox"]]
    said = (
        f"The most stable route is the one with the worst {title} in {len(shown)} of "
        f"{len(orders)} columns"
    )
    if shown:
        said += " (" + ", ".join(_at(one, orders) for one in shown) + ")"
    own = next(
        (o for o in orders if o["temperature"] == 1.0 and o["error"] == own_error), orders[0]
    )
    said += (
        f"; with the system's own router (temperature 1) the best mixes {own['best']} and the "
        f"worst {own['worst']} experts"
    )
    return said + ("." if own["separated"] else ", which the intervals do not tell apart.")


def _at(one: Mapping[str, Any], orders: Sequence[Mapping[str, Any]]) -> str:
    error = f", error {one['error']:g}" if len({o["error"] for o in orders}) > 1 else ""
    return f"temperature {one['temperature']:g}{error}"


def data_uri(png: bytes) -> str | None:
    """A small picture as it stands in a JSON document; None where there is none."""
    return f"data:image/png;base64,{b64encode(png).decode()}" if png else None
