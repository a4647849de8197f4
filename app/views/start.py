"""Start: what is this, what is there, and what does it look like?"""

from __future__ import annotations

import numpy as np
import streamlit as st

from app import forms, parts, state
from app.catalogue import Catalogue, SystemCard
from app.components.chart import chart
from app.figures import points
from app.views import live

__all__ = ["page"]

#: Small enough for a first picture in seconds on two cores.
_FIRST = {"num": 9, "steps": 8, "shown": 9, "observed": 9}
_ROUTES = ["top_k:k=1", "top_k:k=2", "uniform/full"]


def page() -> None:
    """Draw the page."""
    st.title("How do experts share the work?", anchor=False)
    st.markdown(
        "A **decentralized diffusion model** is a set of complete diffusion models, each trained "
        "alone on one cluster of the data.  \nA **router** looks at the noisy image at every step "
        "and says which expert to ask.  \nHere you watch it do so: which expert is asked, how "
        "near its data are, where experts disagree, and what that does to the image."
    )
    _warm()
    source = state.catalogue_source()
    if source.asking and not source.ready:
        _wait()
        return
    catalogue = state.catalogue()
    usable = catalogue.usable
    first = next((c for name in ("mnist", "digits") for c in usable if c.name == name), None)
    first = first or next(iter(usable), None)
    if first is not None:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                f"Compare three routers on {first.name}",
                type="primary",
                icon=":material/play_arrow:",
                on_click=_begin,
                args=(first.name,),
                key="first",
            )
            st.caption(
                f"{_FIRST['num']} samples from the same noise, {_FIRST['steps']} steps; about a "
                "quarter of a minute on two cores."
            )
            if "tour" in st.session_state["pages"]:
                st.page_link(
                    st.session_state["pages"]["tour"],
                    label="Or take the tour: the paradox in five minutes",
                    icon=":material/explore:",
                )
    if st.session_state.pop("begun", False):
        st.switch_page(
            st.session_state["pages"]["compare"], query_params={"job": state.view("job")}
        )
    # Its place is here, its turn is last: what waits for a process must not hold up the rest.
    turning = st.container()
    st.subheader("Systems at hand", anchor=False)
    st.caption("Training images of each expert, under the colour that it has on every page.")
    for card in (*usable, *(card for card in catalogue.systems if card.error)):
        _system(card)
    _recent(catalogue)
    with turning:
        live.section(catalogue)


def _warm() -> None:
    """Let a worker get ready while the page is read: the first picture comes seconds earlier."""
    if "warmed" not in st.session_state:
        st.session_state["warmed"] = True
        state.jobs().warm()


def _go(query: dict[str, str]) -> None:
    st.switch_page(st.session_state["pages"]["compare"], query_params=query)


@st.fragment(run_every=0.5)
def _wait() -> None:
    """The server has just started: the page is there, the systems follow."""
    source = state.catalogue_source()
    if source.ready or not source.asking:
        # There, or failed: then the page asks once more, and shows the reason.
        st.rerun()
    st.caption("Reading systems and routers …")
    st.skeleton(height=140)


def _begin(system: str) -> None:
    forms.submit({"system": system, **_FIRST}, _ROUTES)
    st.session_state["begun"] = True


def _system(card: SystemCard) -> None:
    with st.container(border=True, key=f"system_{card.name}"):
        with st.container(horizontal=True, wrap=False, vertical_alignment="center"):
            st.markdown(f"**{parts.literal(card.name)}**  ·  {_words(card)}", width="stretch")
            if not card.error:
                st.button(
                    "Compare routers",
                    key=f"use_{card.name}",
                    icon=":material/compare:",
                    type="tertiary",
                    on_click=_use,
                    args=(card.name,),
                )
        if card.error:
            st.caption(f"cannot be used: {parts.literal(card.error)}")
            return
        if not parts.cluster_strip(card) and card.centres:
            cloud = points.cloud_info(np.array(card.centres), card.spread)
            left, right = st.columns([1, 2], vertical_alignment="center")
            right.markdown(
                "Everything here is known in closed form: the experts, the router, the density. "
                "Take a softer router (`exact:temperature=4/full`) or experts that err outside "
                f"their own cluster (`{card.name}:error=0.5`), and see the smoothest route, "
                "the full ensemble, become the worst."
            )
            with left:
                chart(
                    str(points.cloud(cloud, state.look()).to_json()),
                    alt=f"the {card.experts} clusters of {card.name}, a colour per expert",
                    key=f"cloud_{card.name}",
                    bar=False,
                )
    if st.session_state.pop(f"open_{card.name}", False):
        _go({"system": card.name})


def _words(card: SystemCard) -> str:
    if card.error:
        return ""
    words = [parts.literal(card.description)]
    if "expert" not in card.description:
        words.append(f"{card.experts} experts")
    if card.is_image:
        channels, height, width = card.shape
        words.append(f"{height} × {width} {'grey' if channels == 1 else 'colour'}")
    if card.sizes:
        words.append(f"clusters of {min(card.sizes):,} to {max(card.sizes):,} images")
    return "  ·  ".join(words)


def _use(system: str) -> None:
    state.show(system=system, comparison=None, runs=None)
    st.session_state.pop("new_system", None)
    st.session_state.pop("new_routers", None)
    st.session_state[f"open_{system}"] = True


def _recent(catalogue: Catalogue) -> None:
    comparisons = list(state.store().comparisons().items())[:3]
    if not comparisons:
        return
    st.subheader("Seen last", anchor=False)
    for id, runs in comparisons:
        with st.container(horizontal=True, vertical_alignment="center"):
            routes = ", ".join(parts.literal(run.router) for run in runs)
            st.page_link(
                st.session_state["pages"]["compare"],
                label=f"{parts.literal(state.system_title(runs[0]))}: {routes}",
                icon=":material/compare:",
                query_params={"comparison": id},
            )
            st.caption(
                f"{parts.counted(runs[0].config.num, 'sample')}, {state.age(runs[0].created)}"
            )
