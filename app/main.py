"""The frame of all pages: navigation, and what is being computed."""

from __future__ import annotations

import sys
from pathlib import Path

# Streamlit runs this file as a script: its own folder is on the path, the package's is not.
if str(Path(__file__).parents[1]) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parents[1]))

import streamlit as st

from app import parts
from app.pictures import icon
from app.views import ask, compare, library, start, trace

st.set_page_config(page_title="ddm", page_icon=icon(), layout="wide")

PAGES = [
    st.Page(
        start.page,
        title="Start",
        icon=":material/home:",
        url_path="start",
        default=True,
        help="What this is, the systems at hand, and a first comparison in one click.",
    ),
    st.Page(
        compare.page,
        title="Compare",
        icon=":material/compare:",
        url_path="compare",
        help="Two to four routers on the same noise, side by side, with one time cursor.",
    ),
    st.Page(
        trace.page,
        title="Trace",
        icon=":material/timeline:",
        url_path="trace",
        help="One run step by step: which expert was asked, and everything that was measured.",
    ),
    st.Page(
        ask.page,
        title="Ask an expert",
        icon=":material/psychology_alt:",
        url_path="ask",
        help="What does an expert make of data that it never saw?",
    ),
    st.Page(
        library.page,
        title="Runs",
        icon=":material/folder_open:",
        url_path="runs",
        help="The library: search, tag, compare settings, delete, re-run, import and export.",
    ),
]

here = st.navigation(PAGES, position="top")
st.session_state["pages"] = {page.url_path or "start": page for page in PAGES}
parts.progress_cards()
here.run()
