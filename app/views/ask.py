"""Ask an expert: what does it make of data that it never saw?"""

from __future__ import annotations

import streamlit as st

from app import forms, parts, state
from app.catalogue import SystemCard
from app.figures import labels

__all__ = ["page"]


def page() -> None:
    """Draw the page."""
    st.title("What does an expert make of data it never saw?", anchor=False)
    st.markdown(
        "Every expert knows its own cluster of the data and no other. Ask it for a label that its "
        "cluster hardly holds, and it has to make something up."
    )
    cards = [card for card in state.catalogue().usable if card.labels]
    if not cards:
        parts.empty(
            "No system at hand was trained with labels. Train one on labelled data "
            "(`ddm train digits`); then its experts can be asked here."
        )
        return
    left, right = st.columns([3, 2], gap="large")
    with right:
        names = [card.name for card in cards]
        default = state.view("system") if state.view("system") in names else names[0]
        name = parts.choice("System", "system", names, default=default)
        card = next(one for one in cards if one.name == name)
        info = labels.labels_info(card.label_counts, card.labels) if card.label_counts else None
        wanted = st.selectbox(
            "Ask for", card.labels, key=f"ask_label_{name}", persist_state="session"
        )
        label = card.labels.index(wanted)
        rich, poor = _experts(card, info, label)
        guidance = st.slider(
            "Guidance",
            1.0,
            6.0,
            2.0,
            0.5,
            key="ask_guidance",
            persist_state="session",
            help="how hard the expert is pushed towards the label; 1 is not at all",
        )
        st.button(
            f"Ask experts {rich} and {poor}, and the router",
            type="primary",
            icon=":material/psychology_alt:",
            on_click=_ask,
            args=(card, label, float(guidance), rich, poor),
            key="ask",
        )
        st.caption("16 samples from the same noise, 25 steps; opens on Compare.")
    with left:
        if info is None:
            st.markdown("**What each cluster holds**")
            parts.cluster_strip(card)
            st.caption("One block per expert, from 0 on the left.")
        else:
            parts.exhibit(
                "labels",
                "What each cluster holds",
                "Share of every label in each expert's images; framed: the one asked for.",
                lambda: labels.figure(info, state.look(), label=label),
                lambda: labels.table(info),
            )
    if info is not None and parts.cluster_strip(card):
        st.caption("Training images of each expert's cluster, from expert 0 on the left.")
    if st.session_state.pop("asked", False):
        st.switch_page(
            st.session_state["pages"]["compare"], query_params={"job": state.view("job")}
        )


def _experts(card: SystemCard, info: labels.LabelsInfo | None, label: int) -> tuple[int, int]:
    """The two to ask: those that know the label best and least, or whom the reader chooses."""
    if info is None:
        numbers = list(range(card.experts))
        one, other = st.columns(2)
        first = one.selectbox("Expert", numbers, key="ask_first")
        second = other.selectbox("and expert", numbers, index=len(numbers) - 1, key="ask_second")
        return first, second
    rich, poor = info.richest(label), info.poorest(label)
    few = info.counts[poor, label]
    seen = f"only {few:,} ({info.share[poor, label]:.1%})" if few else "none at all"
    st.markdown(
        f"Expert **{rich}** has seen most of it: {info.counts[rich, label]:,} images, "
        f"{info.share[rich, label]:.0%} of its cluster. Expert **{poor}** has seen {seen}."
    )
    return rich, poor


def _ask(card: SystemCard, label: int, guidance: float, rich: int, poor: int) -> None:
    asked = dict.fromkeys((rich, poor))
    routes = [*(f"fixed:expert={k}/full" for k in asked), "top_k:k=2"]
    if card.monolith:
        routes.append("monolith")
    fields = {
        "system": card.name,
        "num": 16,
        "steps": 25,
        "label": label,
        "guidance": guidance,
        "observed": 16,
    }
    forms.submit(fields, routes)
    st.session_state["asked"] = True
