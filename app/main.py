"""The frame of all pages: navigation, and what is being computed."""

from __future__ import annotations

import sys
from pathlib import Path

# Streamlit runs this file as a script: its own folder is on the path, the package's is not.
if str(Path(__file__).parents[1]) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parents[1]))

import streamlit as st

from app import parts, state
from app.pictures import icon
from app.server import dress, exposed
from app.views import (
    accuracy,
    alignment,
    ask,
    audit,
    compare,
    disagreement,
    flow,
    library,
    paradox,
    routing,
    stability,
    start,
    tour,
    trace,
    what_if,
)
from app.views import map as data_map

st.set_page_config(page_title="ddm", page_icon=icon(), layout="wide")

#: By the question that they help with; what has no heading stands in the bar itself.
PAGES = {
    "": [
        st.Page(
            start.page,
            title="Start",
            icon=":material/home:",
            url_path="start",
            default=True,
            help="What this is, the systems at hand, and a first comparison in one click.",
        ),
        st.Page(
            tour.page,
            title="Tour",
            icon=":material/explore:",
            url_path="tour",
            help="The paradox in five minutes, measured while you read.",
        ),
        st.Page(
            library.page,
            title="Runs",
            icon=":material/folder_open:",
            url_path="runs",
            help="The library: search, tag, compare settings, delete, re-run, import and export.",
        ),
    ],
    "Look": [
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
            routing.page,
            title="Routing",
            icon=":material/alt_route:",
            url_path="routing",
            help="Who is asked, and when does it change? Every sample, every step.",
        ),
        st.Page(
            flow.page,
            title="Flow",
            icon=":material/air:",
            url_path="flow",
            help="Points in the plane: the field that each route makes, and samples in it.",
        ),
        st.Page(
            data_map.page,
            title="Map of the data",
            icon=":material/map:",
            url_path="map",
            help="Where in the data does a sample travel?",
        ),
    ],
    "What if": [
        st.Page(
            what_if.page,
            title="What if?",
            icon=":material/fork_right:",
            url_path="what-if",
            help="From any step of any sample: what if another expert had been asked?",
        ),
        st.Page(
            ask.page,
            title="Ask an expert",
            icon=":material/psychology_alt:",
            url_path="ask",
            help="What does an expert make of data that it never saw?",
        ),
    ],
    "Audit": [
        st.Page(
            audit.page,
            title="Verdicts",
            icon=":material/fact_check:",
            url_path="audit",
            help="Do the paper's four claims hold for this system?",
        ),
        st.Page(
            alignment.page,
            title="Alignment",
            icon=":material/my_location:",
            url_path="alignment",
            help="Are the chosen experts those whose data are near?",
        ),
        st.Page(
            accuracy.page,
            title="Accuracy",
            icon=":material/target:",
            url_path="accuracy",
            help="Do the chosen experts predict better?",
        ),
        st.Page(
            disagreement.page,
            title="Disagreement",
            icon=":material/call_split:",
            url_path="disagreement",
            help="Is quality worse where experts disagree?",
        ),
        st.Page(
            stability.page,
            title="Stability and quality",
            icon=":material/scatter_plot:",
            url_path="stability",
            help="Is the most stable route the best one?",
        ),
        st.Page(
            paradox.page,
            title="Paradox map",
            icon=":material/grid_on:",
            url_path="paradox",
            help="Where does the paradox hold?",
        ),
    ],
}

here = st.navigation(PAGES, position="top")
every = [page for pages in PAGES.values() for page in pages]
st.session_state["pages"] = {page.url_path or "start": page for page in every}
state.publish("sample", "chosen")  # one selection for all pages
dress.dress()
exposed.notice()
parts.progress_cards()
here.run()
