"""Fields of several routes under one time cursor, drawn in the browser."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
from streamlit.components.v2 import component

from app.figures.flow import GROUNDS, FlowInfo, FlowPanel, flow_scale, ground, share, written
from app.figures.look import Look, expert_colour, expert_colours, on_colour, run_style
from app.pictures import packed

__all__ = ["field", "field_data"]

_HERE = Path(__file__).parent
_REACH = 0.1  # of t: how far a comet goes

_FIELD = component(
    "ddm_field",
    html=(_HERE / "field.html").read_text(),
    css=(_HERE / "field.css").read_text(),
    js=(_HERE / "cursor.js").read_text() + (_HERE / "field.js").read_text(),
)


def field_data(info: FlowInfo, *, experts: bool = False) -> dict[str, Any]:
    """What the browser gets, once: fields of all steps as packed numbers.

    Arguments:
        experts: a panel per expert, with its own field, in the flow of the first route; else one
            per route.
    """
    first = info.panels[0].flow
    count = first.sizes["expert"] if experts else 0
    panels = (
        [_of_expert(info.panels[0], k) for k in range(min(count, first.sizes["own"]))]
        if experts
        else [_of_route(panel, info) for panel in info.panels]
    )
    x, y = first["x"].values, first["y"].values
    most = max([*(panel.flow.sizes["expert"] for panel in info.panels), 1])
    content: dict[str, Any] = {
        "panels": panels,
        "frames": first["step"].values.tolist(),
        "steps": int(first.attrs["steps"]),
        "t": first["t"].values.tolist(),
        "seeds": first["sample"].values.tolist(),
        "box": [float(x[0]), float(x[-1]), float(y[0]), float(y[-1])],
        "resolution": first.sizes["x"],
        "centres": np.reshape(first.attrs["centres"], (-1, 2)).tolist(),
        "spread": float(first.attrs["spread"]),
        "colours": expert_colours(max(most, first.sizes["own"])),
        "reach": _REACH,
        "grounds": _words(info, experts=experts),
        "signs": "● sample   ○ its twin, pushed "
        f"{float(first.attrs['push']):g} aside at the start   ◯ cluster",
    }
    digest = hashlib.sha256()
    for panel in panels:
        for part in ("label", "flow", "state", "twin"):
            digest.update(str(panel[part]).encode())
    content["id"] = digest.hexdigest()[:16]
    return content


def _words(info: FlowInfo, *, experts: bool) -> dict[str, dict[str, str]]:
    if experts:
        ends = {"low": f"weight in {info.panels[0].label}: 0", "high": "1"}
        return dict.fromkeys(GROUNDS, ends)
    out: dict[str, dict[str, str]] = {}
    for name, title in GROUNDS.items():
        low, high = info.bounds[name]
        out[name] = {"low": f"{title}: {low:.2g}", "high": f"{high:.2g}"}
    return out


def _shared(panel: FlowPanel, velocity: np.ndarray) -> dict[str, Any]:
    unit = float(np.abs(velocity).max() or 1.0) / 32_000
    flow = panel.flow
    return {
        "flow": packed(np.round(velocity / unit), np.int16),
        "unit": unit,
        "state": packed(flow["state"].values, np.float32),
        "twin": packed(flow["twin"].values, np.float32),
        "leader": packed(flow["leader"].values, np.int16),
    }


def _of_route(panel: FlowPanel, info: FlowInfo) -> dict[str, Any]:
    grounds = {
        name: packed(
            np.round(255 * share(ground(panel.flow, name), name, info.bounds[name])), np.uint8
        )
        for name in GROUNDS
    }
    return _shared(panel, panel.flow["velocity"].values) | {
        "label": panel.label,
        "place": panel.place,
        "expert": -1,
        "grounds": grounds,
        "numbers": [
            ["Mean local Lipschitz constant", written(panel.lipschitz)],
            ["Energy distance to the data", written(panel.distance, 4)],
        ],
        "alt": f"the flow of {panel.label} in the plane at the step of the cursor: comets along "
        "the routed field over the experts' disagreement, samples and their perturbed twins, "
        "circles at the clusters",
    }


def _of_expert(panel: FlowPanel, k: int) -> dict[str, Any]:
    weight = panel.flow["weights"].values[..., k]
    tint = packed(np.round(255 * np.clip(weight, 0, 1)), np.uint8)
    return _shared(panel, panel.flow["expert_velocity"].values[..., k, :]) | {
        "label": f"expert {k}",
        "place": panel.place,
        "expert": k,
        "grounds": dict.fromkeys(GROUNDS, tint),
        "numbers": [],
        "alt": f"the flow of expert {k} alone, in its colour where {panel.label} gives it weight",
    }


def field(
    data: dict[str, Any],
    look: Look,
    *,
    ground: str,
    step: int | None,
    focus: int | None,
    chosen: Collection[int],
    key: str,
    on_focus: Callable[[], None],
) -> None:
    """Show it.

    Arguments:
        ground: what colours the ground; see `GROUNDS`.
        step: where the cursor starts; None where the flow has most to show.
        focus: seed of the framed sample.
        chosen: seeds of the chosen samples; the others fade. Empty for all.
        on_focus: called when another sample is clicked.
    """
    panels: list[dict[str, Any]] = []
    for panel in data["panels"]:
        style = run_style(panel["place"], look)
        k: int = panel["expert"]
        own: dict[str, Any] = {"letter": style.letter, "colour": style.colour}
        if k >= 0:
            colour = expert_colour(k)
            # Half of its colour: its own samples have to stand out.
            own = {"letter": str(k), "colour": colour, "on": on_colour(colour)}
            own["scale"] = [look.paper, _half(look, colour)]
        panels.append(panel | own)
    grounds = data["grounds"]
    if data["panels"][0]["expert"] >= 0:
        grey = {"scale": [look.paper, look.muted]}
        grounds = {name: words | grey for name, words in grounds.items()}
    content = data | {
        "panels": panels,
        "grounds": grounds,
        "id": f"{data['id']}-{look.dark}",
        "scale": list(flow_scale(look)),
        "ground": ground,
        "step": step,
        "focus": focus,
        "chosen": list(chosen),
        "ink": look.ink,
        "paper": look.paper,
    }
    _FIELD(data=content, key=key, on_focus_change=on_focus)


def _half(look: Look, colour: str) -> str:
    """Half-way between the page and a colour."""
    pairs = zip(*(bytes.fromhex(one[1:]) for one in (look.paper, colour)), strict=True)
    return "#" + "".join(f"{(a + b) // 2:02X}" for a, b in pairs)
