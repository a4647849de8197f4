"""Who leads each sample at each step, as pixels that can be picked: a click, a band of rows."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from streamlit.components.v2 import component

from app.figures.leaders import LeadersInfo, LeadersPanel
from app.figures.look import Look, expert_colours, run_style
from app.pictures import packed

__all__ = ["Pick", "picked_rows", "raster", "raster_data"]

_HERE = Path(__file__).parent

_RASTER = component(
    "ddm_raster",
    html=(_HERE / "raster.html").read_text(),
    css=(_HERE / "raster.css").read_text(),
    js=(_HERE / "cursor.js").read_text() + (_HERE / "raster.js").read_text(),
)


class Pick(NamedTuple):
    """What the reader has picked.

    Arguments:
        rows: of the picture.
        one: whether it was a click on one row, which puts a sample in focus.
        add: whether these join those that are chosen already.
        says: in words.
    """

    rows: np.ndarray
    one: bool
    add: bool
    says: str


def raster_data(info: LeadersInfo) -> dict[str, Any]:
    """What the browser gets, once: a byte per cell."""
    panels: list[dict[str, Any]] = []
    digest = hashlib.sha256()
    for panel in info.panels:
        cells = panel.who.expert.T.astype(np.uint8)
        digest.update(cells.tobytes())
        panels.append(
            {
                "label": panel.label,
                "place": panel.place,
                "steps": len(panel.who.expert),
                "t": panel.who.t.tolist(),
                "cells": packed(cells, np.uint8),
                "note": _note(panel),
                "alt": f"leading expert of {len(info.seeds):,} samples at {len(panel.who.t)} "
                f"steps of {panel.label}; arrow keys move the cursor and the sample in focus",
            }
        )
        digest.update(panel.label.encode())
    return {
        "panels": panels,
        "rows": len(info.seeds),
        # As text: a seed can be larger than a number of the browser.
        "seeds": [str(seed) for seed in info.seeds],
        "experts": info.experts,
        "colours": expert_colours(info.experts),
        "id": digest.hexdigest()[:16],
    }


def _note(panel: LeadersPanel) -> str:
    mean = panel.switches
    words = [] if mean.value is None else [f"{mean.value:.2f} changes per sample"]
    if panel.only < 1:
        words.append(f"others weigh in at {1 - panel.only:.0%} of the steps")
    if panel.alone < 1:
        words.append(f"tied at {1 - panel.alone:.0%}")
    return " · ".join(words)


def raster(
    data: dict[str, Any],
    look: Look,
    *,
    step: int | None,
    focus: int,
    chosen: Collection[int],
    key: str,
    on_pick: Callable[[], None],
) -> None:
    """Show it.

    Arguments:
        step: where the cursor starts; None is the last step.
        focus: row of the sample in focus, -1 for none.
        chosen: rows of the chosen samples; empty for all.
        on_pick: called when the reader picks; see `picked_rows`.
    """
    rows = np.zeros(data["rows"], dtype=np.uint8)
    rows[list(chosen)] = 1
    panels = [
        panel
        | {
            "letter": run_style(panel["place"], look).letter,
            "colour": run_style(panel["place"], look).colour,
        }
        for panel in data["panels"]
    ]
    content = data | {
        "panels": panels,
        "id": f"{data['id']}-{look.dark}",
        "step": step,
        "focus": focus,
        "chosen": packed(rows, np.uint8) if chosen else "",
        "ink": look.ink,
        "paper": look.paper,
    }
    _RASTER(data=content, key=key, on_pick_change=on_pick)


def picked_rows(said: Any, info: LeadersInfo) -> Pick | None:
    """What the browser says was picked; None where that is nothing of this picture."""
    if not isinstance(said, dict):
        return None
    most = len(info.seeds)
    add = bool(said.get("add"))
    if "expert" in said:
        panel = info.panels[0]
        step = min(max(int(said.get("step", 0)), 0), len(panel.who.expert) - 1)
        k = int(said["expert"])
        rows = np.flatnonzero(panel.who.expert[step] == k)
        return Pick(rows, False, add, f"expert {k} leads at step {step} of {panel.label}")
    ends = said.get("rows")
    if not isinstance(ends, list) or len(ends) != 2:
        return None
    first, last = sorted(min(max(int(one), 0), most - 1) for one in ends)
    says = f"rows {first} to {last} by {info.order}"
    return Pick(np.arange(first, last + 1), bool(said.get("one")), add, says)
