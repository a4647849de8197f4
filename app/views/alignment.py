"""Alignment: are the chosen experts those whose data are near?"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import parts, state
from app.audit_file import Alignment, AlignmentRoute
from app.figures import bands
from app.figures.bands import CHANCE, CHOSEN, OTHERS, BandsInfo, Panel, as_band
from app.views.picker import Picked, facts, none_yet, picked
from ddm_core.summary import Estimate

__all__ = ["page"]

_MOST = 4
_FIRST = ("top_k:k=1", "top_k:k=2", "full", "uniform/full")


def page() -> None:
    """Draw the page."""
    st.title("Are the chosen experts those whose data are near?", anchor=False)
    state.publish("route")
    one = picked()
    if one is None:
        none_yet()
        return
    st.caption(facts(one.audit))
    alignment = one.audit.alignment
    if alignment is None or not alignment.routes:
        parts.empty("No route of this audit chose between experts.")
        return
    routes = chosen_routes([route.router for route in alignment.routes])
    shown = [route for route in alignment.routes if route.router in routes]
    if not shown:
        parts.empty("Choose at least one route.")
        return
    _distances(one, alignment, shown)
    _hits(one, alignment, shown)
    _noising(one, alignment)


def chosen_routes(names: Sequence[str]) -> list[str]:
    """Draw a choice of up to four routes; those that are chosen."""
    first = [name for name in _FIRST if name in names] or list(names[:_MOST])
    return st.multiselect(
        "Routes",
        list(names),
        default=first,
        max_selections=_MOST,
        key="evidence_routes",
        help="each becomes a panel, all on one scale",
    )


def _times(alignment: Alignment) -> tuple[float, ...]:
    return tuple(t for t in alignment.times if t is not None)


def _distances(one: Picked, alignment: Alignment, shown: Sequence[AlignmentRoute]) -> None:
    info = BandsInfo(
        _times(alignment),
        tuple(
            Panel(
                route.router,
                (
                    as_band("chosen", CHOSEN, route.chosen),
                    as_band("not chosen", OTHERS, route.not_chosen),
                ),
            )
            for route in shown
        ),
        "distance",
    )
    _exhibit(
        one,
        "alignment_distance",
        "Distance of the state to the clusters of the chosen experts, and of the others",
        f"{shown[0].definition}; mean over samples, 95% intervals; chosen: weighted as they are. "
        "An expert's own prediction pulls x0_hat towards its cluster: a gap alone does not say "
        "that the choice was right",
        info,
        shown,
    )


def _hits(one: Picked, alignment: Alignment, shown: Sequence[AlignmentRoute]) -> None:
    hits = BandsInfo(
        _times(alignment),
        tuple(
            Panel(
                route.router,
                (
                    as_band("nearest cluster's expert chosen", CHOSEN, route.hit),
                    as_band("by chance", CHANCE, route.hit_chance),
                ),
            )
            for route in shown
        ),
        "share of samples",
        share=True,
    )
    ranks = BandsInfo(
        _times(alignment),
        tuple(
            Panel(
                route.router,
                (
                    as_band("rank of the leading expert's cluster", CHOSEN, route.rank),
                    as_band("by chance", CHANCE, [route.rank_chance] * len(alignment.times)),
                ),
            )
            for route in shown
        ),
        "rank (1 = nearest)",
    )
    _exhibit(
        one,
        "alignment_hit",
        "How often the nearest cluster's expert is among the chosen",
        "Chance: the share of experts that are chosen, which a blind choice would reach; at 100% "
        "for a route that asks everybody",
        hits,
        shown,
    )
    _exhibit(
        one,
        "alignment_rank",
        "Rank of the leading expert's cluster by distance",
        "The expert of the largest weight; chance: the middle rank",
        ranks,
        shown,
    )


def _noising(one: Picked, alignment: Alignment) -> None:
    st.subheader("On real data, where the truth is known", anchor=False)
    found = alignment.noising
    if found is None:
        st.caption(
            "This audit had no real data. Give it the dataset's files (`ddm audit … --data DIR`)."
        )
        return
    info = BandsInfo(
        tuple(t for t in found.times if t is not None),
        (
            Panel(
                found.router,
                (
                    as_band("true cluster's expert chosen", CHOSEN, found.hit),
                    as_band("by chance", CHANCE, found.chance),
                ),
            ),
        ),
        "share of items",
        share=True,
    )
    _exhibit(
        one,
        "alignment_noising",
        f"How often the true cluster's expert is chosen by {parts.literal(found.router)}",
        f"{one.audit.plan.truth_source}, noised to every t. Near t = 1 nothing is left of the "
        "item, and nobody can do better than the clusters' shares",
        info,
        (),
    )


def _exhibit(
    one: Picked,
    name: str,
    title: str,
    says: str,
    info: BandsInfo,
    shown: Sequence[AlignmentRoute],
) -> None:
    parts.exhibit(
        name,
        title,
        parts.sentence(says),
        lambda: bands.figure(info, state.look()),
        lambda: bands.table(info),
        key=(*one.key, *(route.router for route in shown)),
    )


def interval(estimate: Estimate) -> str:
    """A number with its interval, for a sentence."""
    if estimate.value is None:
        return "–"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.3g}"
    return f"{estimate.value:.3g} [{estimate.low:.3g}, {estimate.high:.3g}]"
