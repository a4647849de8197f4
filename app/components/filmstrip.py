"""One sample on its way: the mix, then a row per expert; opacity is weight, a frame is chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from streamlit.components.v2 import component

from app.figures.look import expert_colour
from app.pictures import data_url, packed, sprite, thinned

__all__ = ["filmstrip", "filmstrip_data"]

_HERE = Path(__file__).parent
#: Rows that fit on a screen; beyond, the experts with the most weight are shown.
_MOST_EXPERTS = 12

_FILM = component(
    "ddm_filmstrip",
    html=(_HERE / "filmstrip.html").read_text(),
    css=(_HERE / "filmstrip.css").read_text(),
    js=(_HERE / "cursor.js").read_text() + (_HERE / "filmstrip.js").read_text(),
)


def filmstrip_data(trace: xr.Dataset, seed: int) -> dict[str, Any] | None:
    """The strip of one sample, or None where the trace keeps no pictures of it.

    Arguments:
        trace: with x0_hat, and x0_hat_expert where every expert was asked.
        seed: of the sample.
    """
    if "x0_hat" not in trace or seed not in trace["shown"].values:
        return None
    frames = thinned(trace.sizes["step"])
    one = trace.isel(step=frames).sel(shown=seed)
    mix = one["x0_hat"].transpose("step", "height", "width", "channel").values
    pictures = [mix]
    rows: list[dict[str, str]] = [{"label": "mix", "colour": ""}]
    weights = np.zeros((len(frames), 0))
    if "x0_hat_expert" in one and "weights" in one:
        all_weights = one["weights"].sel(sample=seed).transpose("step", "expert").values
        experts = _leading(all_weights)
        weights = all_weights[:, experts]
        dims = ("expert", "step", "height", "width", "channel")
        pictures.extend(one["x0_hat_expert"].isel(expert=experts).transpose(*dims).values)
        rows.extend({"label": f"expert {k}", "colour": expert_colour(int(k))} for k in experts)
    strip = sprite(np.stack(pictures))
    shares = np.ceil(np.nan_to_num(weights) * 255).clip(0, 255)
    return {
        "rows": rows,
        "frames": frames.tolist(),
        "tile": [int(mix.shape[1]), int(mix.shape[2])],
        "least": 46,
        "weights": packed(shares, np.uint8),
        "sprite": data_url(strip),
        "alt": f"predicted clean image of sample {seed} at {len(frames)} steps, by the mix and by "
        f"{len(rows) - 1} experts; opacity is the expert's weight",
    }


def filmstrip(data: dict[str, Any], *, key: str) -> None:
    """Show it. A click on a column moves the page's time cursor there."""
    _FILM(data=data, key=key)


def _leading(weights: np.ndarray) -> np.ndarray:
    total = np.nan_to_num(weights).sum(axis=0)
    order = np.argsort(-total, kind="stable")[:_MOST_EXPERTS]
    return np.sort(order)
