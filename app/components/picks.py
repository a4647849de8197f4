"""Finished samples in a row, to put one in focus by a click on its image."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from streamlit.components.v2 import component

from app.pictures import data_url, sprite

__all__ = ["picks", "picks_data"]

_HERE = Path(__file__).parent

_PICKS = component(
    "ddm_picks",
    html='<div class="picks" role="group" aria-label="samples of this run"></div>',
    css=(_HERE / "picks.css").read_text(),
    js=(_HERE / "picks.js").read_text(),
)


def picks_data(images: np.ndarray, seeds: Sequence[int]) -> dict[str, Any]:
    """One picture of all images uint8 [sample, height, width, channel], in the order of seeds."""
    shape = images.shape[1] / images.shape[2]
    return {"sprite": data_url(sprite(images[None])), "seeds": list(seeds), "shape": shape}


def picks(data: dict[str, Any], *, focus: int, key: str, on_sample: Callable[[], None]) -> None:
    """Show them; the session's value of the key holds `sample`, the seed that was clicked."""
    _PICKS(data=data | {"focus": focus}, key=key, on_sample_change=on_sample)
