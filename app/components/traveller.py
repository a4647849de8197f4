"""Dots that travel over a map with the time cursor: samples, and where each expert pulls."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from streamlit.components.v2 import component

from app.figures.look import Look, expert_colours
from app.figures.map import Way
from app.pictures import thinned

__all__ = ["traveller", "traveller_data"]

_HERE = Path(__file__).parent

_TRAVELLER = component(
    "ddm_traveller",
    html='<div class="traveller" hidden></div>',
    js=(_HERE / "cursor.js").read_text() + (_HERE / "traveller.js").read_text(),
)


def traveller_data(ways: Sequence[Way], focus: int | None) -> dict[str, Any]:
    """Where the dots are at every frame that the player shows.

    Arguments:
        focus: seed of the sample whose experts are shown too.
    """
    dots: list[dict[str, Any]] = []
    for way in ways:
        frames = thinned(len(way.places))
        dot: dict[str, Any] = {
            "seed": way.seed,
            "focus": way.seed == focus,
            "places": way.places[frames].round(4).tolist(),
            "expert": way.expert[frames].tolist(),
            "pulls": [],
        }
        if way.seed == focus and way.by_expert is not None:
            dot["pulls"] = np.nan_to_num(way.by_expert[frames]).round(4).tolist()
        dots.append(dot)
    most = max((len(pulls) for dot in dots for pulls in dot["pulls"][:1]), default=0)
    experts = max([most, *(1 + max(dot["expert"]) for dot in dots)], default=0)
    return {"dots": dots, "colours": expert_colours(experts)}


def traveller(data: dict[str, Any], look: Look, *, chart: str, key: str) -> None:
    """Draw the dots over the chart in the container of this key."""
    content = data | {"chart": chart, "ink": look.ink, "paper": look.paper}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    _TRAVELLER(data=content | {"id": digest[:16]}, key=key, height="content")
