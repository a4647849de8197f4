"""The picture of one sample under the colours of those who painted it, grown with the cursor."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from streamlit.components.v2 import component

from app.figures.look import Look, expert_colours
from app.figures.painting import PaintingInfo
from app.pictures import data_url, packed, sprite, thinned

__all__ = ["painting", "painting_data"]

_HERE = Path(__file__).parent

_PAINTING = component(
    "ddm_painting",
    html=(_HERE / "painting.html").read_text(),
    css=(_HERE / "painting.css").read_text(),
    js="".join((_HERE / f"{name}.js").read_text() for name in ("cursor", "frames", "painting")),
)


def painting_data(trace: xr.Dataset, info: PaintingInfo) -> dict[str, Any]:
    """What the browser gets, once: the pictures by step, who leads at each pixel and by how much.

    Arguments:
        trace: with x0_hat of the sample.
        info: of the same trace.
    """
    frames = thinned(len(info.leader))
    pictures = trace["x0_hat"].isel(step=frames).sel(shown=[info.seed])
    values = pictures.transpose("step", "shown", "height", "width", "channel").values
    content: dict[str, Any] = {
        "seeds": [info.seed],
        "tile": list(info.leader.shape[1:]),
        "frames": frames.tolist(),
        "sprite": data_url(sprite(values)),
        "leader": packed(info.leader[frames], np.int16),
        "margin": packed((255 * info.margin[frames]).round(), np.uint8),
        "share": info.share[frames].round(4).tolist(),
        "led": info.led[frames].round(4).tolist(),
        "colours": expert_colours(info.share.shape[1]),
    }
    digest = hashlib.sha256()
    for name in ("sprite", "leader", "margin"):
        digest.update(content[name].encode())
    content["id"] = digest.hexdigest()[:16]
    return content


def painting(data: dict[str, Any], look: Look, *, key: str) -> None:
    """Show it: the picture, the colours over it, and who has which share."""
    _PAINTING(data={**data, "id": f"{data['id']}-{look.dark}"}, key=key)
