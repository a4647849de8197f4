"""What the theme's settings cannot say: one rule of style for the dark theme."""

from __future__ import annotations

import streamlit as st

__all__ = ["dress"]

#: One colour cannot be both: text that is read on a dark ground, and a ground on which white text
#: is read. The theme's primary colour is the text; this is the ground of the main buttons.
_DARK = """<style>
[data-testid="stBaseButton-primary"] { background-color: #2470AC; border-color: #2470AC; }
[data-testid="stBaseButton-primary"]:hover { background-color: #1D5F94; border-color: #1D5F94; }
</style>"""


def dress() -> None:
    """Add it to this page, in the dark theme."""
    if st.context.theme.type == "dark":
        st.html(_DARK)
