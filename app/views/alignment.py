"""Alignment: are the chosen experts those whose data are near?"""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app import parts, state
from app.audits.evidence import Alignment, AlignmentRoute
from app.figures import evidence
from app.views.evidence import NO_DATA, abreast, bands_exhibit, chosen_routes, verdict
from app.views.picker import Picked, facts, none_yet, picked

__all__ = ["page"]

#: What the definitions of distance are called where they are chosen from.
_DISTANCES = {
    "cluster_distance": "prediction, in the clustering features",
    "cluster_distance_pixels": "prediction, in pixels",
    "cluster_distance_noised": "noisy state",
}


def page() -> None:
    """Draw the page."""
    st.title("Are the chosen experts those whose data are near?", anchor=False)
    state.publish("routes", "distance")
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
    routes = chosen_routes(list(dict.fromkeys(route.router for route in alignment.routes)))
    distance = _distance(alignment)
    shown = [
        route
        for route in alignment.routes
        if route.router in routes and route.distance == distance
    ]
    _distances(one, alignment, shown, distance)
    left, right = abreast("ranks")
    with left:
        _hits(one, alignment, shown, distance)
    with right:
        _ranks(one, alignment, shown, distance)
    _noising(one, alignment, routes, distance)


def _distance(alignment: Alignment) -> str:
    """Draw the choice between definitions of distance, where the audit has several."""
    there = list(dict.fromkeys(route.distance for route in alignment.routes))
    if len(there) == 1:
        return there[0]
    return parts.choice(
        "Distance of the",
        "distance",
        there,
        segmented=True,
        says=lambda name: _DISTANCES.get(name, name),
        help="an expert's own prediction pulls the predicted image towards its cluster; the "
        "noisy state is nobody's prediction",
    )


def _distances(
    one: Picked, alignment: Alignment, shown: Sequence[AlignmentRoute], distance: str
) -> None:
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
        evidence.distance_bands(alignment.times, shown),
        distance,
        *(route.router for route in shown),
    )


def _hits(
    one: Picked, alignment: Alignment, shown: Sequence[AlignmentRoute], distance: str
) -> None:
    bands_exhibit(
        one,
        "alignment_hit",
        "How often the nearest cluster's expert is chosen",
        parts.explained(
            "chance: the share of experts that are chosen, which a blind choice would reach; for "
            "a route that asks everybody it is 100%, and a hit says nothing"
        ),
        evidence.hit_bands(alignment.times, shown),
        distance,
        *(route.router for route in shown),
    )


def _ranks(
    one: Picked, alignment: Alignment, shown: Sequence[AlignmentRoute], distance: str
) -> None:
    bands_exhibit(
        one,
        "alignment_rank",
        "How near is the cluster of the leading expert?",
        parts.explained(
            "rank of the cluster of the largest weight among all, 1 is the nearest; chance: the "
            "middle rank. With equal weights who leads is arbitrary"
        ),
        evidence.rank_bands(alignment.times, shown),
        distance,
        *(route.router for route in shown),
    )


def _noising(one: Picked, alignment: Alignment, routes: Sequence[str], distance: str) -> None:
    st.subheader("The other way: from real data to noise, where the truth is known", anchor=False)
    found = alignment.noising
    if found is None:
        parts.empty(NO_DATA, page="audit", label="Run an audit")
        return
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
        evidence.noising_bands(found),
    )
    shown = [r for r in found.routes if r.router in routes and r.distance == distance]
    if shown:
        bands_exhibit(
            one,
            "alignment_noising_distance",
            "Distance of real data to the data of the chosen experts, and of the others",
            parts.explained(
                "as above, but the state is a real image and nobody's prediction",
                definition=next((route.definition for route in shown if route.definition), ""),
            ),
            evidence.distance_bands(found.times, shown),
            distance,
            *(route.router for route in shown),
        )
