"""A figure of Plotly that is drawn in place, and first where the reader looks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.components.v2 import component

__all__ = ["chart"]

_HERE = Path(__file__).parent

# Not in a shadow root: Plotly's styles are in the page, and the cursor looks for charts there.
_CHART = component(
    "ddm_chart",
    html=(_HERE / "chart.html").read_text(),
    css=(_HERE / "chart.css").read_text(),
    js=(_HERE / "chart.js").read_text(),
    isolate_styles=False,
)


def chart(
    spec: str,
    *,
    alt: str,
    key: str,
    bar: bool = True,
    on_pick: Callable[[str], None] | None = None,
    on_lasso: Callable[[list[str]], None] | None = None,
) -> None:
    """Show it.

    Streamlit's own chart takes another figure as another chart: it puts it away and draws the new
    one twice, every figure of the page before any can be seen.

    Arguments:
        spec: the figure as JSON; its layout has a height.
        alt: the picture in words.
        bar: whether it has tools.
        on_pick: called when a point is clicked, with the first of its customdata as text.
        on_lasso: called when a lasso or a box was drawn around points, with the same of each.
    """
    ways = {"pick": on_pick, "lasso": on_lasso}
    data = {"spec": spec, "alt": alt, "bar": bar, "tells": [w for w, do in ways.items() if do]}
    _CHART(
        data=data,
        key=key,
        on_pick_change=_told(key, "pick", on_pick),
        on_lasso_change=_told(key, "lasso", on_lasso),
    )


def _told(key: str, way: str, do: Callable[[Any], None] | None) -> Callable[[], None]:
    def act() -> None:
        said = st.session_state[key][way]
        if said and do:
            do(said)

    return act
