"""What the pages of evidence share: the verdict on top, the routes that are shown, two columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import streamlit as st

from app import parts, state
from app.audits.file import Route
from app.figures import bands
from app.figures.bands import BandsInfo
from app.figures.claims import VERDICTS, finite, written
from app.views.picker import Picked
from ddm_core.intervals import Estimate

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

__all__ = [
    "NO_DATA",
    "abreast",
    "bands_exhibit",
    "chosen_routes",
    "interval",
    "run_link",
    "verdict",
]

#: What to do where an audit had no real data.
NO_DATA = (
    "This audit had no real data, and without them nobody knows what is right. Give it the "
    "dataset's files: `ddm audit … --data DIR`."
)
_MOST = 4
_FIRST = ("top_k:k=1", "top_k:k=2", "full", "uniform/full")
_BADGES: dict[str, Literal["blue", "orange", "gray"]] = {
    "supported": "blue",
    "contradicted": "orange",
    "undecided": "gray",
}
#: Where there is no room for two figures side by side the second goes below the first.
_NARROW = """<style>@media (max-width: 1100px) {
[class*="st-key-abreast_"] [data-testid="stColumn"] { min-width: 100%; }
}</style>"""


def verdict(one: Picked, number: int) -> None:
    """Draw what the audit says of a claim, and the way to its tests."""
    claim = next((claim for claim in one.audit.claims if claim.claim == number), None)
    if claim is None:
        return
    style = VERDICTS[claim.verdict]
    with st.container(border=True, horizontal=True, wrap=False, vertical_alignment="center"):
        st.badge(style.word, icon=style.icon, color=_BADGES[claim.verdict])
        st.markdown(parts.literal(parts.minus(claim.sentence or claim.title)), width="stretch")
        st.page_link(
            st.session_state["pages"]["audit"],
            label="All tests",
            icon=":material/fact_check:",
            query_params={"audit": one.found.key},
        )


def run_link(route: Route) -> None:
    """Draw the way into a route's run, or say that it is not here."""
    if not route.run:
        return
    run = next(iter(state.runs_at([route.run])), None)
    if run is None or run.status != "done":
        st.caption("Its run is not in this store.")
        return
    st.page_link(
        st.session_state["pages"]["trace"],
        label="Open its run",
        icon=":material/timeline:",
        query_params={"run": run.id},
    )


def chosen_routes(names: Sequence[str]) -> list[str]:
    """Draw a choice of up to four routes; those that are chosen, as the URL has them.

    No spec holds a comma: lists of them are written with commas everywhere.
    """
    wanted = [name for name in state.view("routes").split(",") if name in names]
    key = "evidence_routes"
    first = [name for name in _FIRST if name in names]
    st.session_state[key] = (wanted or first or list(names))[:_MOST]
    st.multiselect(
        "Routes",
        list(names),
        max_selections=_MOST,
        key=key,
        on_change=_chosen,
        args=(key,),
        help="each becomes a panel, all on one scale; the choice goes along to the other pages",
    )
    return [name for name in names if name in st.session_state[key]]


def _chosen(key: str) -> None:
    state.show(routes=",".join(st.session_state[key]))


def abreast(name: str) -> tuple[DeltaGenerator, DeltaGenerator]:
    """Two columns that stand below each other on a narrow screen."""
    st.html(_NARROW)
    with st.container(key=f"abreast_{name}"):
        left, right = st.columns(2, gap="large")
    return left, right


def bands_exhibit(
    one: Picked,
    name: str,
    title: str,
    says: str,
    info: BandsInfo,
    *of: str,
    height: int = bands.HEIGHT,
) -> None:
    """Show lines over t.

    Arguments:
        title, says: Markdown.
        of: what beside the audit decides what is shown, such as the routes.
        height: of the figure, pixels.
    """
    parts.exhibit(
        name,
        title,
        says,
        lambda: bands.figure(info, state.look(), height=height),
        lambda: bands.table(info),
        key=(*one.key, *of),
    )


def interval(estimate: Estimate) -> str:
    """A number with its interval, for a sentence: 0.37 [0.29, 0.44]."""
    return written(*map(finite, estimate[:3]))
