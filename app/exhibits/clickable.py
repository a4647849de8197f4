"""An exhibit whose points can be picked, with what belongs to the picked one beside it."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Hashable, Sequence
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st
from PIL import Image

from app import parts, state
from app.components.chart import chart
from app.exhibits.exhibits import drawn_json, export_menu, stamp

if TYPE_CHECKING:
    import plotly.graph_objects as go

__all__ = ["Names", "clickable", "sample_picture"]

#: Where there is no room beside the figure the panel goes below it.
_NARROW = """<style>@media (max-width: 1100px) {
[class*="st-key-beside_"] [data-testid="stColumn"] { min-width: 100%; }
}</style>"""
#: Small samples are shown this wide at least: their pixels, not a blur of them.
_WIDTH = 300


class Names:
    """What can be picked, and what the view calls it.

    Arguments:
        part: of the view, in the URL; its value is one of the options.
        label: of the list to choose from, which does without a mouse what a click does.
    """

    def __init__(self, part: str, label: str, options: Sequence[str], default: str) -> None:
        self.part = part
        self.label = label
        self.options = options
        self.default = default


@st.fragment
def clickable(
    name: str,
    title: str,
    says: str,
    figure: Callable[[], go.Figure],
    table: Callable[[], pd.DataFrame],
    names: Names,
    panel: Callable[[str], None],
    *,
    key: tuple[Hashable, ...],
    alt: str = "",
    code: str = "",
) -> None:
    """A figure as `parts.exhibit` shows it; a click on a point changes the panel beside.

    Arguments:
        figure: every point's customdata begins with the name by which it is picked.
        panel: draws what belongs to a name.
    """
    st.html(_NARROW)
    with st.container(key=f"beside_{name}"):
        left, right = st.columns([7, 2], gap="large")
    with left:
        with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"):
            st.markdown(f"**{title}**", width="stretch")
            as_table = st.toggle("Table", key=f"table_{name}")
            export_menu(name, stamp(title, says, key), figure, table, code=code)
        st.caption(says)
        if as_table:
            st.dataframe(table(), hide_index=True, height=420, placeholder="–")
        else:
            chart(
                drawn_json(name, figure, key),
                alt=alt or f"{title}. {says}",
                key=f"clickable_{name}",
                on_pick=lambda picked: _clicked(picked, names),
            )
    with right:
        picked = parts.choice(names.label, names.part, names.options, default=names.default)
        panel(picked)


def _clicked(name: str, names: Names) -> None:
    """Show what was clicked on; a point that has no name changes nothing."""
    if name in names.options:
        state.show(**{names.part: name})


def sample_picture(address: str | None, alt: str) -> None:
    """The samples behind a point, from a picture's address that was checked when it was read."""
    if address is None:
        st.caption("No samples were kept of it.")
        return
    image = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    times = max(1, round(_WIDTH / image.width))
    # Enlarged here: a browser would smooth what are the pixels of the model.
    st.image(
        image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST),
        width=_WIDTH,
        alt=alt,
    )
