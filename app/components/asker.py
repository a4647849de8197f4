"""Experts to choose from at the step of the cursor: what each sees, and its weight."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from streamlit.components.v2 import component

from app.figures.look import expert_colours
from app.pictures import data_url, packed, sprite, thinned

__all__ = ["asker", "asker_data"]

_HERE = Path(__file__).parent

_ASKER = component(
    "ddm_asker",
    html=(_HERE / "asker.html").read_text(),
    css=(_HERE / "asker.css").read_text(),
    js=(_HERE / "cursor.js").read_text() + (_HERE / "asker.js").read_text(),
)


def asker_data(trace: xr.Dataset, seed: int, experts: int) -> dict[str, Any]:
    """The frames of one sample.

    Arguments:
        trace: with weights, and x0_hat and x0_hat_expert where there are pictures.
        experts: of the system; a run of a monolith knows none.
    """
    steps = trace.sizes["step"]
    frames = thinned(steps)
    data: dict[str, Any] = {
        "frames": frames.tolist(),
        "steps": steps,
        "t": np.asarray(trace["t"].values, dtype=float)[frames].round(4).tolist(),
        "colours": expert_colours(experts),
        "weights": "",
        "sprite": "",
        "tile": [0, 0],
    }
    if "weights" in trace and trace.sizes["expert"] == experts:
        weights = trace["weights"].sel(sample=seed).isel(step=frames).transpose("step", "expert")
        data["weights"] = packed(np.nan_to_num(weights.values), np.float32)
    if "x0_hat" in trace and seed in trace["shown"].values:
        one = trace.sel(shown=seed).isel(step=frames)
        rows = [one["x0_hat"].transpose("step", "height", "width", "channel").values]
        if "x0_hat_expert" in one:
            dims = ("expert", "step", "height", "width", "channel")
            rows.extend(one["x0_hat_expert"].transpose(*dims).values)
        data["sprite"] = data_url(sprite(np.stack(rows)))
        data["rows"] = len(rows)
        data["tile"] = [int(rows[0].shape[1]), int(rows[0].shape[2])]
    data["id"] = hashlib.sha256(json.dumps(data).encode()).hexdigest()[:16]
    return data


def asker(
    data: dict[str, Any],
    *,
    step: int | None,
    expert: int | None,
    pick: bool,
    key: str,
    on_step: Callable[[], None],
    on_expert: Callable[[], None],
) -> None:
    """Show it; the session's value of the key holds `step` and `expert` as the reader sets them.

    Arguments:
        step: where the cursor starts.
        expert: the one that is chosen.
        pick: whether an expert can be chosen.
    """
    content = data | {"step": step, "expert": expert, "pick": pick}
    _ASKER(data=content, key=key, on_step_change=on_step, on_expert_change=on_expert)
