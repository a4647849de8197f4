"""One sample on its way: the mix, then a row per expert; opacity is weight, a frame is chosen.

A second run on the same seed can stand below, column under column.
"""

from __future__ import annotations

import hashlib
import json
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
    js="".join(
        (_HERE / f"{name}.js").read_text() for name in ("cursor", "frames", "save", "filmstrip")
    ),
)


def filmstrip_data(
    trace: xr.Dataset, seed: int, *, steps: int | None = None
) -> dict[str, Any] | None:
    """The strip of one sample, or None where the trace keeps no pictures of it.

    Arguments:
        trace: with x0_hat, and x0_hat_expert where every expert was asked.
        seed: of the sample.
        steps: of the run above whose columns are taken; a run of another length shows its own
            step at the same share of the path.
    """
    if "x0_hat" not in trace or seed not in trace["shown"].values:
        return None
    own = trace.sizes["step"]
    frames = thinned(steps or own)
    if steps is not None:
        frames = np.round(frames / max(steps - 1, 1) * (own - 1)).astype(int)
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
        "t": np.asarray(one["t"].values, dtype=float).tolist(),
        "tile": [int(mix.shape[1]), int(mix.shape[2])],
        "least": 46,
        "weights": packed(shares, np.uint8),
        "sprite": data_url(strip),
        "alt": f"predicted clean image of sample {seed} at {len(frames)} steps, by the mix and by "
        f"{len(rows) - 1} experts; opacity is the expert's weight",
    }


def filmstrip(
    data: dict[str, Any],
    *,
    key: str,
    label: str = "",
    below: tuple[str, dict[str, Any]] | None = None,
    name: str = "filmstrip",
) -> None:
    """Show it. A click on a column moves the page's time cursor there.

    Arguments:
        label: of the run.
        name: of the file that the picture on show is saved to; the step is added.
        below: label and strip of a second run on the same seed, with the columns of the first.
    """
    strips = [{**data, "label": label}]
    if below is not None and below[1]["tile"] == data["tile"]:
        strips.append({**below[1], "label": below[0]})
    content = {"strips": strips, **{name: data[name] for name in ("frames", "tile", "least")}}
    content["id"] = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]
    _FILM(data=content | {"name": name}, key=key)


def _leading(weights: np.ndarray) -> np.ndarray:
    total = np.nan_to_num(weights).sum(axis=0)
    order = np.argsort(-total, kind="stable")[:_MOST_EXPERTS]
    return np.sort(order)
