"""A figure of Plotly that is drawn in place, and first where the reader looks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
    on_pick: Callable[[], None] | None = None,
) -> None:
    """Show it.

    Streamlit's own chart takes another figure as another chart: it puts it away and draws the new
    one twice, every figure of the page before any can be seen.

    Arguments:
        spec: the figure as JSON; its layout has a height.
        alt: the picture in words.
        bar: whether it has tools.
        on_pick: called when a point is clicked; the session's value of the key has as `pick` the
            first of the point's customdata, as text.
    """
    data = {"spec": spec, "alt": alt, "bar": bar, "picks": on_pick is not None}
    if on_pick is None:
        _CHART(data=data, key=key)
    else:
        _CHART(data=data, key=key, on_pick_change=on_pick)
