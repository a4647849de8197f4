"""Alignment: are the chosen experts those whose data are near?"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import parts, state
from app.audit_file import Alignment, AlignmentRoute
from app.figures.bands import CHANCE, CHOSEN, OTHERS, BandsInfo, Panel, as_band
from app.views.evidence import NO_DATA, abreast, bands_exhibit, chosen_routes, verdict
from app.views.picker import Picked, facts, none_yet, picked

__all__ = ["page"]


def page() -> None:
    """Draw the page."""
    st.title("Are the chosen experts those whose data are near?", anchor=False)
    state.publish("routes")
    one = picked()
    if one is None:
        none_yet()
        return
    st.caption(facts(one.audit))
    alignment = one.audit.alignment
    if alignment is None or not alignment.routes:
        parts.empty(
            "No route of this audit chose between experts whose distances were measured. "
            "A longer budget measures more routes.",
            page="audit",
            label="Run an audit",
        )
        return
    verdict(one, 2)
    routes = chosen_routes([route.router for route in alignment.routes])
    shown = [route for route in alignment.routes if route.router in routes]
    _distances(one, alignment, shown)
    left, right = abreast("ranks")
    with left:
        _hits(one, alignment, shown)
    with right:
        _ranks(one, alignment, shown)
    _noising(one, alignment)


def _distances(one: Picked, alignment: Alignment, shown: Sequence[AlignmentRoute]) -> None:
    panels = tuple(
        Panel(
            route.router,
            (
                as_band("chosen", CHOSEN, route.chosen),
                as_band("not chosen", OTHERS, route.not_chosen),
            ),
        )
        for route in shown
    )
    bands_exhibit(
        one,
        "alignment_distance",
        "Distance to the data of the chosen experts, and of the others",
        parts.explained(
            "means over samples with 95% intervals; chosen experts count as they are weighted, "
            "and a route that asks everybody leaves no others. An expert's own prediction pulls "
            "x0_hat towards its cluster: a gap alone does not say that the choice was right",
            definition=next((route.definition for route in shown if route.definition), ""),
        ),
        BandsInfo(alignment.times, panels, "distance"),
        *(route.router for route in shown),
    )


def _hits(one: Picked, alignment: Alignment, shown: Sequence[AlignmentRoute]) -> None:
    panels = tuple(
        Panel(
            route.router,
            (
                as_band("nearest cluster's expert chosen", CHOSEN, route.hit),
                as_band("by chance", CHANCE, route.hit_chance),
            ),
        )
        for route in shown
    )
    bands_exhibit(
        one,
        "alignment_hit",
        "How often the nearest cluster's expert is chosen",
        parts.explained(
            "chance: the share of experts that are chosen, which a blind choice would reach; for "
            "a route that asks everybody it is 100%, and a hit says nothing"
        ),
        BandsInfo(alignment.times, panels, "share of samples", share=True),
        *(route.router for route in shown),
    )


def _ranks(one: Picked, alignment: Alignment, shown: Sequence[AlignmentRoute]) -> None:
    panels = tuple(
        Panel(
            route.router,
            (
                as_band("leading expert's cluster", CHOSEN, route.rank),
                as_band("by chance", CHANCE, [route.rank_chance] * len(alignment.times)),
            ),
        )
        for route in shown
    )
    bands_exhibit(
        one,
        "alignment_rank",
        "How near is the cluster of the leading expert?",
        parts.explained(
            "rank of the cluster of the largest weight among all, 1 is the nearest; chance: the "
            "middle rank. With equal weights who leads is arbitrary"
        ),
        BandsInfo(alignment.times, panels, "rank (1 = nearest)", ranks=True),
        *(route.router for route in shown),
    )


def _noising(one: Picked, alignment: Alignment) -> None:
    st.subheader("The other way: from real data to noise, where the truth is known", anchor=False)
    found = alignment.noising
    if found is None:
        parts.empty(NO_DATA, page="audit", label="Run an audit")
        return
    panel = Panel(
        found.router,
        (
            as_band("true cluster's expert chosen", CHOSEN, found.hit),
            as_band("by chance", CHANCE, found.chance),
        ),
    )
    bands_exhibit(
        one,
        "alignment_noising",
        f"How often {parts.literal(found.router)} chooses the true cluster's expert",
        parts.explained(
            one.audit.plan.truth_source,
            "noised to every t; no expert was trained on them, and no expert's prediction enters "
            "what is counted. Near t = 1 little is left of the data, and nobody can do better "
            "than the clusters' shares",
        ),
        BandsInfo(found.times, (panel,), "share of items", share=True),
    )
