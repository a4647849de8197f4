"""What the theme's settings cannot say: the ground of main buttons and of chosen options."""

from __future__ import annotations

import streamlit as st

__all__ = ["dress"]

#: In the dark, one colour cannot be both: text that is read on a dark ground, and a ground on
#: which white text is read. The theme's primary colour is the text, in both themes; this is the
#: ground. White on it has a contrast of 6, and it of 3 to the dark page.
_GROUND = """<style>
[data-testid="stBaseButton-primary"]:enabled { background-color: #0067A3; border-color: #0067A3; }
[data-testid="stBaseButton-primary"]:enabled:hover { background-color: #005484; }
[data-testid="stMultiSelect"] [data-tag] { background-color: #0067A3; }
</style>"""


def dress() -> None:
    """Add it to this page."""
    st.html(_GROUND)
